//! Streams, tables, exit codes, and text that is safe to show.
//!
//! What a remote registry or a client wrote ends up in tables and logs here;
//! control characters in it would drive the reader's terminal, so they never
//! reach it as such.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;

use super::error::{CliError, SecretError};
use crate::limits;
use crate::secret::Secret;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success,
    /// Not done; the reason stands on standard error.
    Failure,
    /// `verify` found something.
    Findings,
    /// The command line means nothing (`EX_USAGE`).
    Usage,
    /// The configuration is wrong (`EX_CONFIG`).
    Config,
}

/// The streams a command reads and writes.
pub struct Terminal<'a> {
    /// Where secrets are read from.
    pub stdin: &'a mut dyn Read,
    /// The answer.
    pub stdout: &'a mut dyn Write,
    /// Everything else.
    pub stderr: &'a mut dyn Write,
    /// Whether a person watches standard error, and progress may be drawn.
    pub interactive: bool,
}

impl Exit {
    /// The number a script sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Findings => 2,
            Self::Usage => 64,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Terminal<'_> {
    /// Writes a line of the answer.
    ///
    /// # Errors
    /// [`CliError::Output`].
    pub fn line(&mut self, line: &str) -> Result<(), CliError> {
        Ok(writeln!(self.stdout, "{line}")?)
    }

    /// Writes the daemon's answer as it came, indented.
    ///
    /// # Errors
    /// [`CliError::Output`].
    pub fn json(&mut self, value: &Value) -> Result<(), CliError> {
        Ok(writeln!(self.stdout, "{value:#}")?)
    }

    /// Writes rows under a header; a header alone when there are none.
    ///
    /// # Errors
    /// [`CliError::Output`].
    pub fn table(&mut self, header: &[&str], rows: Vec<Vec<String>>) -> Result<(), CliError> {
        let mut table = Table::new();
        table.load_style(NOTHING).force_no_tty().set_header(header).add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            writeln!(self.stdout, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Reads the one secret that standard input holds, without the end of its
    /// line.
    ///
    /// # Errors
    /// [`CliError::Secret`] when there is none, or something else.
    pub fn secret(&mut self) -> Result<Secret, CliError> {
        let mut bytes = zeroize::Zeroizing::new(Vec::new());
        let read = (&mut *self.stdin).take(limits::STDIN_SECRET_BYTES + 1).read_to_end(&mut bytes);
        let refuse = |error| Err(CliError::Secret(error));
        if read.is_err() || bytes.len() as u64 > limits::STDIN_SECRET_BYTES {
            return refuse(SecretError::NotText);
        }
        let Ok(text) = std::str::from_utf8(&bytes) else { return refuse(SecretError::NotText) };
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return refuse(SecretError::Empty);
        }
        if line.contains(['\n', '\r']) {
            return refuse(SecretError::Lines);
        }
        Ok(Secret::new(line))
    }

    /// Flushes the answer, so that a failure to write it is an exit code.
    ///
    /// # Errors
    /// What the system said.
    pub fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// What stands at `pointer` (RFC 6901) as the text of a cell; absent and null
/// are empty.
pub fn cell(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        // DTR's API has no other word for it.
        Some(Value::String(text)) if text == NEVER => "never".to_owned(),
        Some(Value::String(text)) => clean(text),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(values)) => values.iter().map(|value| cell(value, "")).collect::<Vec<_>>().join(","),
        Some(other @ Value::Object(_)) => clean(&other.to_string()),
    }
}

/// The time that DTR's API gives for something that has not happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The rows of a list, wherever the daemon put it.
pub fn rows<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `text` in one line, with nothing in it that drives a terminal.
pub fn clean(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => shown.push(' '),
            // Right-to-left overrides make a name read as another.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                // Writing to a String does not fail.
                let _ = write!(shown, "{}", character.escape_unicode());
            }
            character if character.is_control() => {
                let _ = write!(shown, "{}", character.escape_unicode());
            }
            character => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(stdin: &[u8]) -> Result<Secret, CliError> {
        let (mut stdin, mut out, mut err) = (stdin, Vec::new(), Vec::new());
        let mut terminal = Terminal { stdin: &mut stdin, stdout: &mut out, stderr: &mut err, interactive: false };
        terminal.secret()
    }

    #[test]
    fn a_secret_is_one_line() {
        for good in ["hunter22", "hunter22\n", "hunter22\r\n"] {
            assert_eq!(read(good.as_bytes()).unwrap().expose(), "hunter22");
        }
        assert_eq!(read(b" a b \n").unwrap().expose(), " a b ");
        let refused = |stdin: &[u8]| match read(stdin) {
            Err(CliError::Secret(error)) => error,
            other => panic!("{:?}", other.err()),
        };
        assert_eq!(refused(b""), SecretError::Empty);
        assert_eq!(refused(b"\n"), SecretError::Empty);
        assert_eq!(refused(b"a\nb\n"), SecretError::Lines);
        assert_eq!(refused(&[0xff]), SecretError::NotText);
        assert_eq!(refused(&vec![b'a'; 70_000]), SecretError::NotText);
    }

    #[test]
    fn cells_are_one_line_without_control_characters() {
        let value = json!({"a": "x\u{1b}[31m\ny", "b": true, "c": null, "d": [1, "z"], "e": "\u{202e}txt"});
        assert_eq!(cell(&value, "/a"), "x\\u{1b}[31m y");
        assert_eq!(cell(&value, "/b"), "yes");
        assert_eq!(cell(&value, "/c"), "");
        assert_eq!(cell(&value, "/d"), "1,z");
        assert_eq!(cell(&value, "/e"), "\\u{202e}txt");
        assert_eq!(cell(&value, "/none"), "");
        assert_eq!(cell(&json!("0001-01-01T00:00:00Z"), ""), "never");
    }

    #[test]
    fn tables_have_no_borders_and_no_trailing_blanks() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut terminal = Terminal { stdin: &mut io::empty(), stdout: &mut out, stderr: &mut err, interactive: false };
        terminal
            .table(&["NAME", "KIND"], vec![vec!["dev".into(), "org".into()], vec!["x".into(), String::new()]])
            .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME  KIND\ndev   org\nx\n");
    }
}
