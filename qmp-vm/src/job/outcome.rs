//! How jobs end.

use std::error::Error as StdError;
use std::fmt;

use qmp_client::protocol::Printable;

/// The outcome of a job.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use = "the job may have failed"]
#[non_exhaustive]
pub struct JobOutcome {
    /// The id of the job.
    pub id: String,
    /// Whether the job has concluded. If not, an I/O error has paused a job, this one or another one
    /// that was waited for together with it, and QEMU waits for `job-resume`. After that, the
    /// job can be [finished](crate::Jobs::finish).
    pub concluded: bool,
    /// The reason why the job failed, was cancelled or has not concluded; `None` if it succeeded. A
    /// job that does not exist, and whose end no event reported, has failed too: it may have
    /// dismissed itself, or may never have existed.
    pub error: Option<String>,
}

impl JobOutcome {
    /// Returns whether the job succeeded.
    ///
    /// ```
    /// # fn example(outcome: &qmp_vm::JobOutcome) {
    /// if !outcome.success() {
    ///     eprintln!("{outcome:?}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn success(&self) -> bool {
        self.error.is_none()
    }

    /// Returns an error if the job did not succeed, for `?`.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    /// use qmp_vm::Workflows;
    ///
    /// vm.cancel_job("backup", PATIENCE)?.into_result()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The job failed, was cancelled, or has not concluded.
    pub fn into_result(self) -> Result<(), JobError> {
        if self.success() { Ok(()) } else { Err(JobError { outcome: self }) }
    }
}

/// A job that did not succeed.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct JobError {
    /// The outcome of the job.
    pub outcome: JobOutcome,
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qmp_types::debug_error(f, "JobError", self, format_args!(""))
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable::write(f, |f| {
            let JobOutcome { id, concluded, error } = &self.outcome;
            let verb = if *concluded { "failed" } else { "has not concluded" };
            write!(f, "job `{}` {verb}", Printable(id))?;
            match error {
                Some(reason) => write!(f, ": {}", Printable(reason)),
                None => Ok(()),
            }
        })
    }
}

impl StdError for JobError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_a_result() {
        let outcome = |concluded, error: Option<&str>| {
            let error = error.map(str::to_owned);
            JobOutcome { id: "mirror".to_owned(), concluded, error }.into_result()
        };
        assert_eq!(outcome(true, None), Ok(()));
        let text =
            |concluded| outcome(concluded, Some("no space")).expect_err("a failure").to_string();
        assert_eq!(text(true), "job `mirror` failed: no space");
        assert_eq!(text(false), "job `mirror` has not concluded: no space");
        let shown = format!("{:?}", outcome(true, Some("no space")));
        assert_eq!(shown, "Err(JobError(job `mirror` failed: no space))");
    }
}
