//! Draws the pictures of the README: runs the programs at a terminal, against a simulated machine,
//! and writes the last frame as SVG.
//!
//! `cargo build -p qmp-tools && cargo run -p qmp-tools --example pictures` writes all;
//! names as arguments write some. To add one, add it to [`PICTURES`].

#![allow(clippy::unwrap_used)] // a tool of developers

use std::error::Error;

#[cfg(unix)]
#[path = "../tests/support/pty.rs"]
mod pty;

/// A run of a program.
struct Picture {
    /// The name of the file.
    name: &'static str,
    /// The arguments of `qmp`.
    arguments: &'static [&'static str],
    rows: u16,
    columns: u16,
    /// The keys that are typed, each after a text has appeared.
    keys: &'static [(&'static str, &'static str)],
    /// The text that the last frame has.
    until: &'static str,
}

const PICTURES: [Picture; 2] = [
    Picture {
        name: "info",
        arguments: &["info"],
        rows: 44,
        columns: 88,
        keys: &[],
        until: "iothread0",
    },
    Picture {
        name: "watch",
        arguments: &["info", "--watch", "--interval", "0.1"],
        rows: 24,
        columns: 96,
        keys: &[],
        until: "disk0-device",
    },
];

#[cfg(unix)]
fn main() -> Result<(), Box<dyn Error>> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut program = std::env::current_exe()?;
    program.pop();
    program.set_file_name("qmp");
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pictures");
    std::fs::create_dir_all(&directory)?;
    for picture in PICTURES {
        if wanted.is_empty() || wanted.iter().any(|name| name == picture.name) {
            let program = program.to_str().ok_or("the path of `qmp` is not UTF-8")?;
            std::fs::write(
                directory.join(format!("{}.svg", picture.name)),
                draw(program, &picture),
            )?;
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn main() -> Result<(), Box<dyn Error>> {
    Err("needs a Unix terminal".into())
}

/// Runs a program, and returns the last frame.
#[cfg(unix)]
fn draw(program: &str, picture: &Picture) -> String {
    let mut terminal =
        pty::Terminal::open(program, picture.arguments, picture.rows, picture.columns);
    for (text, keys) in picture.keys {
        terminal.expect(text);
        terminal.type_keys(keys);
    }
    terminal.expect(picture.until);
    terminal.with_screen(|screen| svg::frame(screen, picture.arguments))
}

#[cfg(unix)]
mod svg {
    use std::fmt::Write as _;

    /// The size of a cell, in pixels.
    const CELL: (u32, u32) = (8, 17);

    /// The margin, in pixels.
    const MARGIN: u32 = 12;

    const BACKGROUND: &str = "#1e1e2e";
    const TEXT: &str = "#cdd6f4";

    /// The colors of a terminal, as a person may have chosen them.
    const COLORS: [&str; 16] = [
        "#45475a", "#f38ba8", "#a6e3a1", "#f9e2af", "#89b4fa", "#f5c2e7", "#94e2d5", "#bac2de",
        "#585b70", "#f38ba8", "#a6e3a1", "#f9e2af", "#89b4fa", "#f5c2e7", "#94e2d5", "#a6adc8",
    ];

    /// Cells next to each other that look alike.
    #[derive(Default)]
    struct Run {
        column: u16,
        width: u32,
        text: String,
        style: Style,
    }

    #[derive(Clone, Default, Eq, PartialEq)]
    struct Style {
        color: String,
        background: Option<String>,
        is_bold: bool,
    }

    /// Draws a screen below the command line that made it. Rows at the end that are empty are left out.
    pub(crate) fn frame(screen: &vt100::Screen, arguments: &[&str]) -> String {
        let (rows, columns) = screen.size();
        let lines: Vec<Vec<Run>> = (0..rows).map(|row| runs(screen, row, columns)).collect();
        let used = lines.iter().rposition(|runs| {
            runs.iter().any(|run| !run.text.trim().is_empty() || run.style.background.is_some())
        });
        let lines = &lines[..used.map_or(0, |last| last + 1)];
        let (width, height) = (
            u32::from(columns) * CELL.0 + 2 * MARGIN,
            (lines.len() as u32 + 1) * CELL.1 + 2 * MARGIN,
        );
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"ui-monospace,monospace\" font-size=\"13\">\n\
             <rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n"
        );
        let command = Run {
            text: format!("$ qmp {}", arguments.join(" ")),
            width: 0,
            style: Style { color: COLORS[2].to_owned(), ..Style::default() },
            ..Run::default()
        };
        draw(&mut out, &command, 0);
        for (number, line) in lines.iter().enumerate() {
            line.iter().for_each(|run| draw(&mut out, run, number as u32 + 1));
        }
        out + "</svg>\n"
    }

    fn runs(screen: &vt100::Screen, row: u16, columns: u16) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for column in 0..columns {
            let Some(cell) = screen.cell(row, column) else { continue };
            if cell.is_wide_continuation() {
                continue;
            }
            let style = style(cell);
            let text = if cell.has_contents() { cell.contents() } else { " ".to_owned() };
            let width = if cell.is_wide() { 2 } else { 1 };
            match runs.last_mut().filter(|run| run.style == style) {
                Some(run) => {
                    run.text += &text;
                    run.width += width;
                }
                None => runs.push(Run { column, width, text, style }),
            }
        }
        runs
    }

    fn style(cell: &vt100::Cell) -> Style {
        let text = color(cell.fgcolor()).unwrap_or_else(|| TEXT.to_owned());
        let background = color(cell.bgcolor());
        let (color, background) = if cell.inverse() {
            (background.unwrap_or_else(|| BACKGROUND.to_owned()), Some(text))
        } else {
            (text, background)
        };
        Style { color, background, is_bold: cell.bold() }
    }

    fn color(color: vt100::Color) -> Option<String> {
        match color {
            vt100::Color::Default => None,
            vt100::Color::Idx(number) => COLORS.get(usize::from(number)).map(|&it| it.to_owned()),
            vt100::Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
        }
    }

    fn draw(out: &mut String, run: &Run, row: u32) {
        let (x, y) = (MARGIN + u32::from(run.column) * CELL.0, MARGIN + row * CELL.1);
        // Writing to a string does not fail.
        if let Some(background) = &run.style.background {
            let (width, height) = (run.width * CELL.0, CELL.1);
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{background}\"/>"
            );
        }
        let text = run.text.trim_end();
        if text.is_empty() {
            return;
        }
        let bold = if run.style.is_bold { " font-weight=\"bold\"" } else { "" };
        let length = text.chars().count() as u32 * CELL.0;
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{}\" fill=\"{}\"{bold} textLength=\"{length}\" \
             xml:space=\"preserve\">{}</text>",
            y + 13,
            run.style.color,
            escaped(text)
        );
    }

    fn escaped(text: &str) -> String {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }
}
