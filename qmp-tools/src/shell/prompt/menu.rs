//! The menu of candidates below the line.

use super::assist::Completion;
use super::frame::{Paper, width};
use super::ink::Ink;
use crate::shell::complete::Candidate;

/// The highest number of rows that candidates take.
const ROWS: usize = 10;

/// Candidates, of which one may be selected.
#[derive(Clone, Debug)]
pub(super) struct Menu {
    completion: Completion,
    /// The text and the cursor without a candidate.
    draft: (String, usize),
    selected: Option<usize>,
}

impl Menu {
    pub(super) fn new(completion: Completion, text: &str, cursor: usize) -> Self {
        Self { completion, draft: (text.to_owned(), cursor), selected: None }
    }

    pub(super) fn draft(&self) -> (&str, usize) {
        (&self.draft.0, self.draft.1)
    }

    pub(super) fn start(&self) -> usize {
        self.completion.span.start
    }

    pub(super) fn selected(&self) -> Option<&Candidate> {
        self.completion.candidates.get(self.selected?)
    }

    /// Selects another candidate, in a circle.
    pub(super) fn advance(&mut self, by: isize) {
        let count = self.completion.candidates.len().max(1);
        self.selected = Some(match self.selected {
            None if by < 0 => count - 1,
            None => 0,
            Some(at) => {
                let by = usize::try_from(by.rem_euclid(count as isize)).unwrap_or(0);
                (at + by) % count
            }
        });
    }

    /// Selects another candidate, up to the first or last.
    pub(super) fn page(&mut self, down: bool) {
        let last = self.completion.candidates.len().saturating_sub(1);
        let at = self.selected.unwrap_or(0);
        self.selected = Some(if down { (at + ROWS).min(last) } else { at.saturating_sub(ROWS) });
    }

    /// Writes the candidates, each with its description, in rows of their own.
    pub(super) fn write(&self, paper: &mut Paper, height: usize) {
        let candidates = &self.completion.candidates;
        let visible = ROWS.min(height / 2).max(1).min(candidates.len());
        let at = self.selected.unwrap_or(0);
        let first = (at + 1).saturating_sub(visible);
        let shown = candidates.iter().enumerate().skip(first).take(visible);
        let widest = shown.clone().map(|(_, one)| width(&one.insert)).max().unwrap_or(0).min(40);
        for (index, candidate) in shown {
            let chosen = self.selected == Some(index);
            let (ink, described) =
                if chosen { (Ink::Selected, Ink::Selected) } else { (Ink::Plain, Ink::Dim) };
            paper.new_row();
            paper.put_cut("  ", ink);
            paper.put_cut(&candidate.insert, ink);
            if !candidate.description.is_empty() {
                paper.pad(widest + 4, ink);
                // A description of several lines is cut to its first.
                let line = candidate.description.lines().next().unwrap_or_default();
                paper.put_cut(line, described);
            }
        }
        if visible < candidates.len() {
            let place = match self.selected {
                Some(at) => format!("  {} of {}", at + 1, candidates.len()),
                None => format!("  {} candidates", candidates.len()),
            };
            paper.new_row();
            paper.put_cut(&place, Ink::Dim);
        }
    }
}

/// Returns what all candidates begin with.
pub(super) fn common_prefix(candidates: &[Candidate]) -> &str {
    let mut candidates = candidates.iter().map(|candidate| candidate.insert.as_str());
    let first = candidates.next().unwrap_or_default();
    candidates.fold(first, |common, other| {
        let end = common.char_indices().zip(other.chars()).find(|((_, a), b)| a != b);
        let end = end.map_or(common.len().min(other.len()), |((at, _), _)| at);
        common.get(..end).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::prompt::ink::Colors;

    fn candidate(insert: &str, description: &str) -> Candidate {
        Candidate::new(insert, description)
    }

    #[test]
    fn what_is_common_is_whole_characters() {
        for (names, expected) in [
            (&["query-name", "query-version"][..], "query-"),
            (&["漢字", "漢語"], "漢"),
            (&["é", "è"], ""),
            (&["stop", "stopped"], "stop"),
            (&[], ""),
        ] {
            let candidates: Vec<_> = names.iter().map(|name| candidate(name, "")).collect();
            assert_eq!(common_prefix(&candidates), expected);
        }
    }

    #[test]
    fn the_selected_candidate_is_visible() {
        let candidates = (0..25).map(|n| candidate(&format!("n{n}"), "a node")).collect();
        let completion = Completion { candidates, ..Completion::default() };
        let mut menu = Menu::new(completion, "", 0);
        let rows = |menu: &Menu| {
            let mut paper = Paper::new(40, Colors(false));
            menu.write(&mut paper, 40);
            paper.finish(40).rows.into_iter().skip(1).map(|row| row.text).collect::<Vec<_>>()
        };
        assert_eq!(rows(&menu).last().map(String::as_str), Some("\x1b[2m  25 candidates\x1b[0m"));
        menu.advance(-1);
        let shown = rows(&menu);
        assert!(shown[9].contains("n24") && shown[9].starts_with("\x1b[7m"), "{shown:?}");
        assert_eq!(shown[10], "\x1b[2m  25 of 25\x1b[0m");
        menu.advance(1);
        assert_eq!(menu.selected().map(|one| one.insert.as_str()), Some("n0"));
        menu.page(true);
        assert_eq!(menu.selected().map(|one| one.insert.as_str()), Some("n10"));
    }
}
