//! The guest agent.

use std::pin::Pin;
use std::task::{Context, Poll};

use qmp_types::qga::commands::{
    GuestExecStatus, GuestFileClose, GuestFileOpen, GuestFileRead, GuestFileWrite, GuestPing,
};

use super::call::Call;
use super::{Client, Connecting};
use crate::agent::{Exec, ExecOutput, PAUSES, PIECE, decode, encode};
use crate::error::{Result, Timeout, WaitedFor};
use crate::request::Request;

/// A connection to the guest agent, for asynchronous programs. It is a handle, as a [`Client`]
/// is, and in step with the agent as [`blocking::Agent`](crate::blocking::Agent) is.
///
/// # Cancel safety
///
/// As of a [`Client`]: any future may be dropped. A program that was started runs on, and a file
/// may stay open in the agent.
#[derive(Clone, Debug)]
pub struct Agent {
    client: Client,
}

impl Agent {
    /// Executes a command: awaiting the call gives what it returns.
    pub fn execute<R: Request>(&self, request: R) -> Call<R> {
        self.client.execute(request)
    }

    /// The client of it, for all else.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks whether it still answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<()> {
        self.execute(GuestPing::new()).await.map(|_| ())
    }

    /// Runs a program in the guest, to its end.
    ///
    /// # Errors
    /// It cannot be started, or it has not ended in time: then it runs on.
    pub async fn exec(&self, program: &Exec) -> Result<ExecOutput> {
        let deadline = self.client.hold().deadline_after(program.within);
        let pid = self.execute(program.command()).await?.pid;
        let mut pause = PAUSES.0;
        loop {
            let status = self.execute(GuestExecStatus::new(pid)).await?;
            if status.exited {
                return ExecOutput::new(status);
            }
            let now = self.client.hold().now();
            if deadline.is_some_and(|limit| limit.at <= now) {
                return Err(Timeout::new(WaitedFor::Exit, program.within).into());
            }
            self.client.pause(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Reads a file of the guest's, up to `limit` bytes of it.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn read_file(&self, path: &str, limit: usize) -> Result<Vec<u8>> {
        let handle = self.execute(GuestFileOpen::new(path)).await?;
        let read = self.read_handle(handle, limit).await;
        let closed = self.execute(GuestFileClose::new(handle)).await;
        let bytes = read?;
        closed.map(|_| bytes)
    }

    async fn read_handle(&self, handle: i64, limit: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < limit {
            let count = i64::try_from(PIECE.min(limit - bytes.len())).unwrap_or(1);
            let piece = self.execute(GuestFileRead::new(handle).count(count)).await?;
            let read = decode::<GuestFileRead>(&piece.buf_b64)?;
            bytes.extend_from_slice(&read);
            if piece.eof || read.is_empty() {
                break;
            }
        }
        Ok(bytes)
    }

    /// Writes a file of the guest's; what was in it is gone.
    ///
    /// # Errors
    /// It cannot be written. Part of it may be.
    pub async fn write_file(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let handle = self.execute(GuestFileOpen::new(path).mode("wb")).await?;
        let written = self.write_handle(handle, bytes).await;
        let closed = self.execute(GuestFileClose::new(handle)).await;
        written.and(closed.map(|_| ()))
    }

    async fn write_handle(&self, handle: i64, bytes: &[u8]) -> Result<()> {
        for mut piece in bytes.chunks(PIECE) {
            while !piece.is_empty() {
                let write = GuestFileWrite::new(handle, encode(piece));
                let written = self.execute(write).await?.count;
                // A guest that claims to have written nothing would keep us here for ever.
                let written = usize::try_from(written).unwrap_or(0).clamp(1, piece.len());
                piece = &piece[written..];
            }
        }
        Ok(())
    }
}

/// A connection to an agent that has not answered yet: awaiting it gives the [`Agent`].
#[derive(Debug)]
#[must_use = "awaiting it gives the agent"]
pub struct ConnectingAgent(pub(crate) Connecting);

impl Future for ConnectingAgent {
    type Output = Result<Agent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Agent>> {
        Pin::new(&mut self.0).poll(cx).map(|client| Ok(Agent { client: client? }))
    }
}
