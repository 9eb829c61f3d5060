//! Raw settings to a checked configuration.
//!
//! Every path comes out absolute, every text as a type, every default filled
//! in. Nothing is opened here but the configuration's own file; files that it
//! names are looked for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;

use super::amount::{KeepFree, Lasting, When};
use super::environment::Environment;
use super::error::ConfigError;
use super::file::{Document, RawAudit, RawConfig, RawGc, RawListener, RawScrub, RawTls};
use super::rehearsal::{CrashAt, Pace};
use super::value::{self, Listener, LogFilter, LogFormat, Network, TlsName};
use crate::jobs::gc::Collection;
use crate::jobs::scrub::Settings;
use crate::limits;
use crate::registry;
use crate::store::audit;
use crate::store::file::Keep;

/// The port a registry listens on when nothing else is said.
const REGISTRY_PORT: u16 = 5000;
/// When collection runs when nothing else is said: at night, UTC.
const GC_SCHEDULE: &str = "0 17 2 * * *";
/// When everything that is stored is looked at when nothing else is said: twice
/// a month, so that with a pass of up to thirteen days every byte is read within
/// thirty.
const SCRUB_SCHEDULE: &str = "0 41 3 1,15 * *";
/// The data folder when nothing else is said.
const DATA_DIR: &str = "tidegate-data";
/// The credential that holds the key that seals mirrors' passwords.
const SEALING_KEY_CREDENTIAL: &str = "tidegate.sealing-key";

/// A checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Which log lines are written.
    pub log: LogFilter,
    /// How they are written.
    pub log_format: LogFormat,
    /// Where the registry and the management API are served; never empty.
    pub listeners: Vec<Listener>,
    /// Certificates.
    pub tls: Tls,
    /// The local endpoint's socket.
    pub admin_socket: PathBuf,
    /// A file that gets the bound addresses, one `https://…` or `http://…` a
    /// line, beside the local endpoint's socket.
    pub addresses_file: PathBuf,
    /// Mirrors.
    pub remote: Remote,
    /// The file with the key that seals mirrors' passwords, where the service
    /// manager passed one on; in the data folder otherwise.
    pub sealing_key: Option<PathBuf>,
    /// Collection.
    pub gc: Gc,
    /// Looking at everything that is stored.
    pub scrub: Settings,
    /// What is kept free on the disk.
    pub keep_free: Keep,
    /// How much of the audit log is kept.
    pub audit: audit::Keep,
    /// What clients may push.
    pub registry: registry::Options,
    /// Requests a second that one client may send; zero: as many as it likes.
    pub requests_per_second: u32,
    /// How soon things are done that are done from time to time.
    pub pace: Pace,
    /// Where a daemon under test dies.
    pub crash_at: Option<CrashAt>,
    /// A service manager started it: nobody watches the terminal.
    pub supervised: bool,
}

/// Certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Names for the certificate that is made, beyond `localhost` and the
    /// listeners' own addresses.
    pub names: Vec<TlsName>,
    /// A certificate from elsewhere; one is made at first start when absent.
    pub files: Option<CertificateFiles>,
}

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Mirrors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// Private networks that mirrors saved by ordinary accounts may reach.
    pub allow_private: Vec<Network>,
}

/// Collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gc {
    /// When it runs by itself.
    pub schedule: When,
    /// How it runs, where nothing else is said.
    pub how: Collection,
    /// How long what tags were is remembered; `None`: for ever. At least as
    /// long as manifests without a tag are kept.
    pub history: Option<Duration>,
}

/// What the command line puts in place of the file's settings.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The data folder.
    pub data: Option<PathBuf>,
    /// In place of all the file's listeners, when there is one or more.
    pub listeners: Vec<Listener>,
}

impl Config {
    /// Reads and checks the file `path`.
    ///
    /// # Errors
    /// One [`ConfigError`] that names file, line and key.
    pub fn load(path: &Path, overrides: &Overrides, environment: &Environment) -> Result<Self, ConfigError> {
        Self::from_document(&Document::read(&environment.absolute(path))?, overrides, environment)
    }

    /// The embedded defaults: TLS on 127.0.0.1:5000, data in
    /// `./tidegate-data`.
    ///
    /// # Errors
    /// When the admin socket's path, which follows from the folder, is too
    /// long.
    pub fn embedded(overrides: &Overrides, environment: &Environment) -> Result<Self, ConfigError> {
        Self::from_document(&Document::new(Path::new("(defaults)"), ""), overrides, environment)
    }

    fn from_document(
        document: &Document,
        overrides: &Overrides,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let raw = document.settings()?;
        let data = data_dir(document, &raw, overrides, environment)?;
        let endpoint_dir = environment.runtime_dir.clone().unwrap_or_else(|| data.clone());
        let written = listeners(document, raw.listener.as_ref(), environment)?;
        Ok(Self {
            log: parsed(document, "log", raw.log.as_ref())?.unwrap_or_default(),
            log_format: parsed(document, "log_format", raw.log_format.as_ref())?.unwrap_or_default(),
            listeners: if overrides.listeners.is_empty() { written } else { overrides.listeners.clone() },
            tls: tls(document, &raw.tls, environment)?,
            admin_socket: admin_socket(document, raw.admin.socket.as_ref(), &endpoint_dir, environment)?,
            addresses_file: endpoint_dir.join("addresses"),
            remote: Remote {
                allow_private: all_parsed(document, "remote.allow_private", raw.remote.allow_private.as_deref())?,
            },
            sealing_key: environment
                .credentials_dir
                .as_ref()
                .map(|folder| folder.join(SEALING_KEY_CREDENTIAL))
                .filter(|path| path.exists()),
            gc: gc(document, &raw.gc)?,
            scrub: scrub(document, &raw.scrub)?,
            keep_free: parsed::<KeepFree>(document, "disk.keep_free", raw.disk.keep_free.as_ref())?
                .map_or(Keep::Usual, |keep| keep.0),
            registry: registry::Options {
                sparse: parsed(document, "registry.sparse", raw.registry.sparse.as_ref())?.unwrap_or_default(),
                signed_in_only: raw.registry.anonymous.as_ref().is_some_and(|anonymous| !anonymous.get_ref()),
            },
            requests_per_second: raw
                .clients
                .requests_per_second
                .as_ref()
                .map_or(limits::REQUESTS_PER_SECOND, |most| *most.get_ref()),
            audit: audit(document, &raw.audit)?,
            pace: environment.pace.as_deref().map(Pace::parse).transpose()?.unwrap_or_default(),
            crash_at: environment.crash_at.as_deref().map(CrashAt::parse).transpose()?,
            supervised: environment.runtime_dir.is_some() || environment.state_dir.is_some(),
            data,
        })
    }
}

/// How much of the audit log is kept: so many days (0: whatever the age), and so
/// many rows of each class.
fn audit(document: &Document, raw: &RawAudit) -> Result<audit::Keep, ConfigError> {
    let usual = audit::Keep::default();
    let age = match raw.keep_days.as_ref().map(|days| *days.get_ref()) {
        None => usual.age,
        Some(0) => None,
        Some(days) => Some(Duration::from_secs(u64::from(days) * 24 * 60 * 60)),
    };
    let Some(written) = &raw.keep_entries else { return Ok(audit::Keep { age, ..usual }) };
    let rows = *written.get_ref();
    if !limits::AUDIT_ROWS_SET.contains(&rows) {
        let (least, most) = (limits::AUDIT_ROWS_SET.start(), limits::AUDIT_ROWS_SET.end());
        let reason = format!("{rows} is no number of rows to keep: write one from {least} to {most}");
        return Err(document.refuse(written.span().start, "audit.keep_entries", reason));
    }
    Ok(audit::Keep { age, rows })
}

/// The command line's folder, else the file's, else the service manager's,
/// else one under the current folder.
fn data_dir(
    document: &Document,
    raw: &RawConfig,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<PathBuf, ConfigError> {
    let written = raw.data.as_ref().map(|path| path_of(document, "data", path, environment)).transpose()?;
    let given = overrides.data.as_ref().map(|path| environment.absolute(path));
    Ok(given
        .or(written)
        .or_else(|| environment.state_dir.clone())
        .unwrap_or_else(|| environment.absolute(Path::new(DATA_DIR))))
}

fn admin_socket(
    document: &Document,
    raw: Option<&Spanned<PathBuf>>,
    folder: &Path,
    environment: &Environment,
) -> Result<PathBuf, ConfigError> {
    let too_long = |path: &Path| path.as_os_str().len() > limits::SOCKET_PATH_BYTES;
    let Some(written) = raw else {
        let path = folder.join("admin.sock");
        return if too_long(&path) { Err(ConfigError::SocketPath { path }) } else { Ok(path) };
    };
    let path = path_of(document, "admin.socket", written, environment)?;
    if too_long(&path) {
        let reason =
            format!("a socket's path has at most {} bytes, {} has more", limits::SOCKET_PATH_BYTES, path.display());
        return Err(document.refuse(written.span().start, "admin.socket", reason));
    }
    Ok(path)
}

fn listeners(
    document: &Document,
    raw: Option<&Spanned<Vec<Spanned<RawListener>>>>,
    environment: &Environment,
) -> Result<Vec<Listener>, ConfigError> {
    let Some(written) = raw else {
        return Ok(vec![Listener::tls(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), REGISTRY_PORT))]);
    };
    if written.get_ref().is_empty() {
        return Err(document.refuse(written.span().start, "listener", "at least one listener is needed"));
    }
    let mut listeners: Vec<Listener> = Vec::new();
    for entry in written.get_ref() {
        let (listener, start) = listener(document, entry, environment)?;
        if let Some(other) = listeners.iter().find(|other| other.overlaps(&listener)) {
            let (address, other) = (listener.address(), other.address());
            let reason = match address == other {
                true => format!("{address} is listed twice"),
                false => format!(
                    "{address} and {other}, which is listed before, cannot both be listened on: one has the other in it"
                ),
            };
            return Err(document.refuse(start, "listener.address", reason));
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

/// One listener, and where its address stands.
fn listener(
    document: &Document,
    entry: &Spanned<RawListener>,
    environment: &Environment,
) -> Result<(Listener, usize), ConfigError> {
    let raw = entry.get_ref();
    let Some(written) = &raw.address else {
        let reason = "an address is needed, such as address = \"127.0.0.1:5000\"";
        return Err(document.refuse(entry.span().start, "listener.address", reason));
    };
    let start = written.span().start;
    let address =
        value::address(written.get_ref()).map_err(|error| document.refuse(start, "listener.address", error))?;
    let forced = raw.force_plain.as_ref().is_some_and(|force| *force.get_ref());
    let listener = match &raw.tls {
        Some(tls) if !tls.get_ref() => Listener::plain(address, forced)
            .map_err(|error| document.refuse(tls.span().start, "listener.tls", error))?,
        Some(_) | None => {
            if let Some(force) = raw.force_plain.as_ref().filter(|_| forced) {
                let reason = "force_plain = true needs tls = false beside it";
                return Err(document.refuse(force.span().start, "listener.force_plain", reason));
            }
            Listener::tls(address)
        }
    };
    let Some(path) = &raw.client_ca else { return Ok((listener, start)) };
    if !listener.is_tls() {
        let reason = "client certificates come with TLS: leave client_ca out, or tls = false";
        return Err(document.refuse(path.span().start, "listener.client_ca", reason));
    }
    let client_ca = path_of(document, "listener.client_ca", path, environment)?;
    is_there(document, "listener.client_ca", path, environment)?;
    Ok((listener.asking(client_ca), start))
}

fn tls(document: &Document, raw: &RawTls, environment: &Environment) -> Result<Tls, ConfigError> {
    let alone = |path: &Spanned<PathBuf>, key: &str, missing: &str| {
        document.refuse(
            path.span().start,
            key,
            format!("a certificate needs its key and a key its certificate: {missing} is not set"),
        )
    };
    let files = match (&raw.certificate, &raw.key) {
        (None, None) => None,
        (Some(path), None) => return Err(alone(path, "tls.certificate", "tls.key")),
        (None, Some(path)) => return Err(alone(path, "tls.key", "tls.certificate")),
        (Some(certificate), Some(key)) => Some(CertificateFiles {
            certificate: path_of(document, "tls.certificate", certificate, environment)?,
            key: path_of(document, "tls.key", key, environment)?,
        }),
    };
    let names = raw.names.as_ref();
    if let Some(names) = names.filter(|names| files.is_some() && !names.get_ref().is_empty()) {
        let reason =
            "names are for the certificate that is made, and tls.certificate brings its own: leave one of them out";
        return Err(document.refuse(names.span().start, "tls.names", reason));
    }
    for (key, path) in [("tls.certificate", &raw.certificate), ("tls.key", &raw.key)] {
        if let Some(path) = path {
            is_there(document, key, path, environment)?;
        }
    }
    Ok(Tls { names: all_parsed(document, "tls.names", names.map(|names| names.get_ref().as_slice()))?, files })
}

fn gc(document: &Document, raw: &RawGc) -> Result<Gc, ConfigError> {
    let mut how = Collection::default();
    if let Some(grace) = parsed::<Lasting>(document, "gc.grace", raw.grace.as_ref())? {
        how.grace = grace.0;
    }
    let lasting = |key, raw: &Option<Spanned<String>>, usual| match raw {
        None => Ok(Some(usual)),
        Some(text) if text.get_ref() == "keep" => Ok(None),
        Some(text) => Ok(parsed::<Lasting>(document, key, Some(text))?.map(|lasting| lasting.0)),
    };
    how.untagged = lasting("gc.untagged", &raw.untagged, limits::UNTAGGED_KEPT)?;
    // What can be set back has to be known.
    let history = lasting("gc.history", &raw.history, limits::TAG_HISTORY_KEPT)?;
    let history = history.zip(how.untagged).map(|(history, untagged)| history.max(untagged).max(how.grace));
    let schedule = match parsed(document, "gc.schedule", raw.schedule.as_ref())? {
        Some(schedule) => schedule,
        None => GC_SCHEDULE.parse().expect("it is a schedule"),
    };
    Ok(Gc { schedule, how, history })
}

fn scrub(document: &Document, raw: &RawScrub) -> Result<Settings, ConfigError> {
    let schedule = match parsed(document, "scrub.schedule", raw.schedule.as_ref())? {
        Some(When::On(schedule)) => Some(schedule),
        Some(When::Never) => None,
        None => Some(SCRUB_SCHEDULE.parse().expect("it is a schedule")),
    };
    Ok(Settings { schedule, rate: parsed(document, "scrub.rate", raw.rate.as_ref())?.unwrap_or_default() })
}

fn path_of(
    document: &Document,
    key: &str,
    path: &Spanned<PathBuf>,
    environment: &Environment,
) -> Result<PathBuf, ConfigError> {
    if path.get_ref().as_os_str().is_empty() {
        return Err(document.refuse(path.span().start, key, "a path is needed, this one is empty"));
    }
    Ok(environment.absolute(path.get_ref()))
}

/// Whether a file that is only read later can be read at all.
fn is_there(
    document: &Document,
    key: &str,
    path: &Spanned<PathBuf>,
    environment: &Environment,
) -> Result<(), ConfigError> {
    let found = environment.absolute(path.get_ref());
    let why = match std::fs::metadata(&found) {
        Ok(file) if !file.is_dir() => return Ok(()),
        Ok(_) => "is a folder, not a file".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "is not there".to_owned(),
        Err(error) => format!("cannot be looked at: {error}"),
    };
    Err(document.refuse(path.span().start, key, format!("{} {why}", found.display())))
}

fn parsed<T>(document: &Document, key: &str, raw: Option<&Spanned<String>>) -> Result<Option<T>, ConfigError>
where
    T: FromStr<Err: ToString>,
{
    let parse =
        |text: &Spanned<String>| text.get_ref().parse().map_err(|error| document.refuse(text.span().start, key, error));
    raw.map(parse).transpose()
}

fn all_parsed<T>(document: &Document, key: &str, raw: Option<&[Spanned<String>]>) -> Result<Vec<T>, ConfigError>
where
    T: FromStr<Err: ToString>,
{
    let mut values = Vec::new();
    for text in raw.unwrap_or_default() {
        values.extend(parsed(document, key, Some(text))?);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Config, ConfigError> {
        let environment = Environment::bare(PathBuf::from("/srv"));
        Config::from_document(&Document::new(Path::new("t.toml"), text), &Overrides::default(), &environment)
    }

    #[test]
    fn requests_a_second_are_what_the_file_says() {
        for (text, most) in [
            ("", limits::REQUESTS_PER_SECOND),
            ("[clients]\nrequests_per_second = 50", 50),
            ("[clients]\nrequests_per_second = 0", 0),
        ] {
            assert_eq!(resolve(text).unwrap().requests_per_second, most, "{text}");
        }
        assert!(resolve("[clients]\nrequests_per_second = -1").is_err());
    }

    #[test]
    fn sparse_manifests_are_what_the_file_says() {
        use crate::registry::Sparse;
        for (text, sparse) in [
            ("", Sparse::Images),
            ("[registry]\nsparse = \"images\"", Sparse::Images),
            ("[registry]\nsparse = \"indexes\"", Sparse::Indexes),
            ("[registry]\nsparse = \"refused\"", Sparse::Refused),
        ] {
            assert_eq!(resolve(text).unwrap().registry.sparse, sparse, "{text}");
        }
    }

    #[test]
    fn what_is_public_is_for_everyone_unless_the_file_says_otherwise() {
        for (text, only) in
            [("", false), ("[registry]\nanonymous = true", false), ("[registry]\nanonymous = false", true)]
        {
            assert_eq!(resolve(text).unwrap().registry.signed_in_only, only, "{text}");
        }
    }

    #[test]
    fn the_defaults_are_tls_on_loopback_and_a_folder_here() {
        let config = Config::embedded(&Overrides::default(), &Environment::bare(PathBuf::from("/srv"))).unwrap();
        assert_eq!(config.data, PathBuf::from("/srv/tidegate-data"));
        assert_eq!(config.admin_socket, PathBuf::from("/srv/tidegate-data/admin.sock"));
        assert_eq!(config.addresses_file, PathBuf::from("/srv/tidegate-data/addresses"));
        assert_eq!(config.listeners, [Listener::tls("127.0.0.1:5000".parse().unwrap())]);
        assert_eq!((config.log.as_str(), config.log_format), ("info", LogFormat::Text));
        assert_eq!((config.tls, config.sealing_key), (Tls::default(), None));
    }

    #[test]
    fn the_service_managers_folders_are_used_where_nothing_is_set() {
        let credentials = tempfile::tempdir().unwrap();
        let mut environment = Environment::bare(PathBuf::from("/"));
        environment.state_dir = Some(PathBuf::from("/var/lib/tidegate"));
        environment.runtime_dir = Some(PathBuf::from("/run/tidegate"));
        environment.credentials_dir = Some(credentials.path().to_owned());
        let config = Config::embedded(&Overrides::default(), &environment).unwrap();
        assert_eq!(config.data, PathBuf::from("/var/lib/tidegate"));
        assert_eq!(config.admin_socket, PathBuf::from("/run/tidegate/admin.sock"));
        assert_eq!(config.sealing_key, None, "the credential was not passed on");
        let key = credentials.path().join(SEALING_KEY_CREDENTIAL);
        std::fs::write(&key, "k").unwrap();
        assert_eq!(Config::embedded(&Overrides::default(), &environment).unwrap().sealing_key, Some(key));
    }

    #[test]
    fn a_history_is_kept_for_as_long_as_a_tag_can_be_set_back() {
        let days = |days: u64| Some(Duration::from_secs(days * 24 * 60 * 60));
        for (text, untagged, history) in [
            ("", Some(limits::UNTAGGED_KEPT), Some(limits::TAG_HISTORY_KEPT)),
            ("[gc]\nhistory = \"30d\"\nuntagged = \"7d\"", days(7), days(30)),
            ("[gc]\nhistory = \"7d\"\nuntagged = \"30d\"", days(30), days(30)),
            ("[gc]\nhistory = \"7d\"\ngrace = \"60d\"", Some(limits::UNTAGGED_KEPT), days(60)),
            ("[gc]\nhistory = \"keep\"", Some(limits::UNTAGGED_KEPT), None),
            ("[gc]\nuntagged = \"keep\"", None, None),
        ] {
            let gc = resolve(text).unwrap().gc;
            assert_eq!((gc.how.untagged, gc.history), (untagged, history), "{text}");
        }
        let told = resolve("[gc]\nhistory = \"long\"").unwrap_err().to_string();
        assert!(told.contains("gc.history: `long` is no length of time"), "{told}");
    }

    #[test]
    fn everything_can_be_set() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = ["c.pem", "k.pem"].map(|name| folder.path().join(name));
        std::fs::write(&certificate, "").unwrap();
        std::fs::write(&key, "").unwrap();
        let text = r#"
            data = "./d"
            log = "warn"
            log_format = "json"
            [[listener]]
            address = "[::]:0"
            [[listener]]
            address = "127.0.0.1:5001"
            tls = false
            [[listener]]
            address = "10.0.0.1:80"
            tls = false
            force_plain = true
            [tls]
            certificate = "{certificate}"
            key = "{key}"
            [admin]
            socket = "a.sock"
            [remote]
            allow_private = ["10.0.0.0/8"]
            [scrub]
            schedule = "@every 30h"
            rate = "10MB"
            "#;
        let text = text.replace("{certificate}", certificate.to_str().unwrap());
        let config = resolve(&text.replace("{key}", key.to_str().unwrap())).unwrap();
        assert_eq!(config.data, PathBuf::from("/srv/d"));
        assert_eq!((config.log.as_str(), config.log_format), ("warn", LogFormat::Json));
        let listeners: Vec<_> = config.listeners.iter().map(|l| (l.address().port(), l.is_tls())).collect();
        assert_eq!(listeners, [(0, true), (5001, false), (80, false)]);
        let files = CertificateFiles { certificate, key };
        assert_eq!(config.tls, Tls { names: Vec::new(), files: Some(files) });
        assert_eq!(config.admin_socket, PathBuf::from("/srv/a.sock"));
        assert!(config.remote.allow_private[0].contains("10.9.9.9".parse().unwrap()));
        assert_eq!(config.scrub.schedule.unwrap().to_string(), "@every 30h");
        assert_eq!(config.scrub.rate.bytes(), Some(10_000_000));
        assert_eq!(resolve("[scrub]\nschedule = \"never\"").unwrap().scrub.schedule, None);
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let overrides = Overrides { data: Some("x".into()), listeners: vec!["127.0.0.1:0".parse().unwrap()] };
        let document = Document::new(Path::new("t.toml"), "data = \"/d\"\n[[listener]]\naddress = \"[::]:1\"\n");
        let config = Config::from_document(&document, &overrides, &Environment::bare(PathBuf::from("/srv"))).unwrap();
        assert_eq!(config.data, PathBuf::from("/srv/x"));
        assert_eq!(config.listeners, overrides.listeners);
    }

    #[test]
    fn a_bad_value_is_one_line_with_its_place() {
        let long = format!("[admin]\nsocket = \"/{}\"\n", "s".repeat(200));
        for (text, said) in [
            ("log = \"loud\"", "t.toml:1:7: log: `loud` is no log filter"),
            ("log_format = \"xml\"", "t.toml:1:14: log_format: `xml` is no log format: give `text` or `json`"),
            ("data = \"\"", "t.toml:1:8: data: a path is needed"),
            ("listener = []", "t.toml:1:12: listener: at least one"),
            ("[[listener]]\ntls = true", "t.toml:1:1: listener.address: an address is needed"),
            ("[[listener]]\naddress = \"localhost\"", "t.toml:2:11: listener.address: `localhost` is no address"),
            (
                "[[listener]]\naddress = \"0.0.0.0:80\"\ntls = false",
                "t.toml:3:7: listener.tls: plain HTTP on 0.0.0.0:80",
            ),
            (
                "[[listener]]\naddress = \"0.0.0.0:80\"\nforce_plain = true",
                "t.toml:3:15: listener.force_plain: force_plain = true needs tls = false",
            ),
            (
                "[[listener]]\naddress = \"[::]:1\"\n[[listener]]\naddress = \"[::]:1\"",
                "t.toml:4:11: listener.address: [::]:1 is listed twice",
            ),
            (
                "[[listener]]\naddress = \"0.0.0.0:1\"\n[[listener]]\naddress = \"127.0.0.1:1\"",
                "t.toml:4:11: listener.address: 127.0.0.1:1 and 0.0.0.0:1, which is listed before, cannot both",
            ),
            (
                "[[listener]]\naddress = \"224.0.0.1:1\"",
                "t.toml:2:11: listener.address: 224.0.0.1:1 is an address of many",
            ),
            ("[disk]\nkeep_free = \"9000PiB\"", "t.toml:2:13: disk.keep_free: `9000PiB` is no amount of room"),
            ("[listener]\naddress = \"127.0.0.1:1\"", "t.toml:1:1: listener: write [[listener]], with two brackets"),
            ("[registry]\nsparse = \"all\"", "t.toml:2:10: registry.sparse: `all` is none of `images`"),
            ("[tls]\ncertificate = \"c\"", "t.toml:2:15: tls.certificate: a certificate needs its key"),
            ("[tls]\nkey = \"k\"", "t.toml:2:7: tls.key: a certificate needs its key"),
            ("[tls]\nnames = [\"ok\", \"a b\"]", "t.toml:2:16: tls.names: `a b` is no host name"),
            ("[tls]\nnames = [\"a\"]\nkey = \"k\"\ncertificate = \"c\"", "t.toml:2:9: tls.names: names are for"),
            ("[tls]\ncertificate = \"none\"\nkey = \"/k\"", "t.toml:2:15: tls.certificate: /srv/none is not there"),
            ("[remote]\nallow_private = [\"10.0.0.1/8\"]", "t.toml:2:18: remote.allow_private: `10.0.0.1/8` has bits"),
            ("[audit]\nkeep_entries = 10", "t.toml:2:16: audit.keep_entries: 10 is no number of rows to keep"),
            ("[scrub]\nrate = \"0\"", "t.toml:2:8: scrub.rate: \"0\" is no rate: write bytes a second"),
            (long.as_str(), "t.toml:2:10: admin.socket: a socket's path has at most 107 bytes"),
        ] {
            let told = resolve(text).expect_err(text).to_string();
            assert!(told.starts_with(said) && !told.contains('\n'), "{text:?}\n  {told}\n  {said}");
        }
    }

    #[test]
    fn a_deep_folder_is_told_what_to_do_about_the_socket() {
        let deep = PathBuf::from(format!("/{}", "d".repeat(120)));
        let told = Config::embedded(&Overrides::default(), &Environment::bare(deep)).unwrap_err().to_string();
        assert!(told.ends_with("set admin.socket to a shorter one"), "{told}");
    }

    #[test]
    fn a_file_is_named_as_the_environment_sees_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("c.toml"), "log = 1\n").unwrap();
        let environment = Environment::bare(folder.path().to_owned());
        let told = Config::load(Path::new("c.toml"), &Overrides::default(), &environment).unwrap_err().to_string();
        assert!(told.contains("c.toml:1:7: log: invalid type"), "{told}");
    }
}
