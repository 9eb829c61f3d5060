//! TOML to raw settings, each with its place in the file.
//!
//! Raw means: the keys are known and the kinds are right, the values are not
//! yet checked. `resolve` does that, and asks the `Document` for the place
//! of what it refuses.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};
use crate::limits;

/// A configuration as it was written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// The data folder.
    pub data: Option<Spanned<PathBuf>>,
    /// Log filter.
    pub log: Option<Spanned<String>>,
    /// Log format.
    pub log_format: Option<Spanned<String>>,
    /// `[[listener]]`.
    pub listener: Option<Spanned<Vec<Spanned<RawListener>>>>,
    /// `[tls]`.
    #[serde(default)]
    pub tls: RawTls,
    /// `[admin]`.
    #[serde(default)]
    pub admin: RawAdmin,
    /// `[remote]`.
    #[serde(default)]
    pub remote: RawRemote,
    /// `[gc]`.
    #[serde(default)]
    pub gc: RawGc,
    /// `[scrub]`.
    #[serde(default)]
    pub scrub: RawScrub,
    /// `[disk]`.
    #[serde(default)]
    pub disk: RawDisk,
    /// `[registry]`.
    #[serde(default)]
    pub registry: RawRegistry,
    /// `[clients]`.
    #[serde(default)]
    pub clients: RawClients,
    /// `[audit]`.
    #[serde(default)]
    pub audit: RawAudit,
}

/// One `[[listener]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawListener {
    /// `IP:PORT`.
    pub address: Option<Spanned<String>>,
    /// Whether TLS is spoken; true when left out.
    pub tls: Option<Spanned<bool>>,
    /// Plain HTTP beyond loopback after all.
    pub force_plain: Option<Spanned<bool>>,
    /// The authorities of client certificates, PEM.
    pub client_ca: Option<Spanned<PathBuf>>,
}

/// `[tls]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTls {
    /// Names for the certificate that is made.
    pub names: Option<Spanned<Vec<Spanned<String>>>>,
    /// Certificate chain, PEM.
    pub certificate: Option<Spanned<PathBuf>>,
    /// Private key, PEM.
    pub key: Option<Spanned<PathBuf>>,
}

/// `[admin]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAdmin {
    /// The local endpoint's socket.
    pub socket: Option<Spanned<PathBuf>>,
}

/// `[remote]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRemote {
    /// Private networks that mirrors of ordinary accounts may reach.
    pub allow_private: Option<Vec<Spanned<String>>>,
}

/// `[gc]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawGc {
    /// When collection runs.
    pub schedule: Option<Spanned<String>>,
    /// How long blobs that no manifest names are kept.
    pub grace: Option<Spanned<String>>,
    /// How long manifests that no tag leads to are kept.
    pub untagged: Option<Spanned<String>>,
    /// How long what tags were is remembered.
    pub history: Option<Spanned<String>>,
}

/// `[scrub]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawScrub {
    /// When everything that is stored is looked at.
    pub schedule: Option<Spanned<String>>,
    /// How fast.
    pub rate: Option<Spanned<String>>,
}

/// `[disk]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDisk {
    /// What is kept free.
    pub keep_free: Option<Spanned<String>>,
}

/// `[registry]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRegistry {
    /// Which manifests may name what is not there.
    pub sparse: Option<Spanned<String>>,
    /// Whether who does not sign in may read what is public.
    pub anonymous: Option<Spanned<bool>>,
}

/// `[clients]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawClients {
    /// Requests a second that one client may send.
    pub requests_per_second: Option<Spanned<u32>>,
}

/// `[audit]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAudit {
    /// For how many days who did what is kept.
    pub keep_days: Option<Spanned<u32>>,
    /// How many rows of each class.
    pub keep_entries: Option<Spanned<u64>>,
}

/// A file's name and text, to say where something stands.
#[derive(Debug)]
pub struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    /// Reads the file `path`.
    ///
    /// # Errors
    /// When it cannot be read, is too large or is not text.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Ok(Self { path: path.to_owned(), text: read_text(path)? })
    }

    /// A text that stands for the file `path`.
    pub fn new(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The raw settings in it.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for text that is no TOML, an unknown key, or
    /// a value of the wrong kind.
    pub fn settings(&self) -> Result<RawConfig, ConfigError> {
        toml::from_str(&self.text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let key = match DeTable::parse(&self.text) {
                Ok(table) => key_at(table.get_ref(), start),
                Err(_) => self.key_before(start),
            };
            let mut reason = error.message().trim().replace('\n', "; ");
            if key.as_deref() == Some("listener") && reason.contains("expected a sequence") {
                reason = format!("write [[listener]], with two brackets, since there may be several: {reason}");
            }
            ConfigError::Setting { place: self.place(start, key), reason }
        })
    }

    /// The error that `key`, whose value stands at byte `start`, is wrong.
    pub fn refuse(&self, start: usize, key: &str, reason: impl ToString) -> ConfigError {
        ConfigError::Setting { place: self.place(start, Some(key.to_owned())), reason: reason.to_string() }
    }

    /// The key that the line of byte `at` seems to set, in a text that is no
    /// TOML.
    fn key_before(&self, at: usize) -> Option<String> {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let is_key = |text: &str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            !text.is_empty() && text.chars().all(is_part)
        };
        let key = line.split('=').next().map(str::trim).filter(|key| is_key(key))?;
        let mut tables = self.text[..line_start].lines().rev().filter_map(|line| line.trim().strip_prefix('['));
        let table = tables.next().map(|rest| rest.trim_matches(['[', ']', ' '])).filter(|table| is_key(table));
        Some(table.map_or_else(|| key.to_owned(), |table| format!("{table}.{key}")))
    }

    fn place(&self, start: usize, key: Option<String>) -> Place {
        let before = self.text.get(..start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            path: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            key,
        }
    }
}

/// Reads a text file of bounded size: a configuration, or certificates in PEM.
///
/// # Errors
/// When it cannot be read, is too large or is not text.
pub fn read_text(path: &Path) -> Result<String, ConfigError> {
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(read)?.take(limits::CONFIG_BYTES + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > limits::CONFIG_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|_| ConfigError::NotText { path: path.to_owned() })
}

/// The dotted key whose name or value covers byte `at`. A table's own span is
/// its header, so its entries are looked at first.
fn key_at(table: &DeTable<'_>, at: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref();
        if let Some(inner) = key_inside(value.get_ref(), at) {
            return Some(format!("{name}.{inner}"));
        }
        (key.span().contains(&at) || value.span().contains(&at)).then(|| name.to_string())
    })
}

fn key_inside(value: &DeValue<'_>, at: usize) -> Option<String> {
    match value {
        DeValue::Table(table) => key_at(table, at),
        DeValue::Array(array) => array.iter().find_map(|entry| key_inside(entry.get_ref(), at)),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Document::new(Path::new("t.toml"), text).settings().expect_err("a refusal").to_string()
    }

    #[test]
    fn a_slip_is_named_with_line_column_and_key() {
        for (text, said) in [
            (
                "data = \"d\"\nlogs = \"info\"\n",
                "t.toml:2:1: logs: unknown field `logs`, expected one of `data`, `log`",
            ),
            ("[[listener]]\nadress = \"x\"\n", "t.toml:2:1: listener.adress: unknown field `adress`, expected"),
            ("[tls]\nnames = \"x\"\n", "t.toml:2:9: tls.names: invalid type: string \"x\", expected a sequence"),
            ("[tls]\nnames = [1]\n", "t.toml:2:10: tls.names: invalid type: integer `1`, expected a string"),
            ("[[listener]]\n[[listener]]\n  tls = \"yes\"\n", "t.toml:3:9: listener.tls: invalid type: string \"yes\""),
            ("listener = [{ address = 5 }]\n", "t.toml:1:25: listener.address: invalid type: integer `5`"),
            ("tls = 5\n", "t.toml:1:7: tls: invalid type: integer `5`"),
            ("[extra]\n", "t.toml:1:2: extra: unknown field `extra`"),
        ] {
            let told = refusal(text);
            assert!(told.starts_with(said), "{text:?}\n  {told}\n  {said}");
        }
    }

    #[test]
    fn text_that_is_no_toml_has_a_place_too() {
        let told = refusal("data = \"d\"\nlog = \n");
        assert!(told.starts_with("t.toml:2:7: log: "), "{told}");
        let told = refusal("[[listener]]\naddress = localhost\n");
        assert!(told.starts_with("t.toml:2:11: listener.address: "), "{told}");
        assert!(!told.contains('\n'), "{told}");
        let twice = refusal("data = \"é\"\nlog = \"a\"\nlog = \"b\"\n");
        assert!(twice.starts_with("t.toml:3:1"), "{twice}");
    }

    #[test]
    fn only_small_text_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        assert!(matches!(read_text(&path), Err(ConfigError::Read { .. })));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(read_text(&path), Err(ConfigError::NotText { .. })));
        File::create(&path).unwrap().set_len(limits::CONFIG_BYTES + 1).unwrap();
        assert!(matches!(read_text(&path), Err(ConfigError::TooLarge { .. })));
    }
}
