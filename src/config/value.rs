//! The values of a configuration: listeners, networks, log formats, names.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustls_pki_types::ServerName;

/// Why a text is no value of its kind. Each says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No socket address.
    #[error("`{0}` is no address: give an IP address and a port, such as 127.0.0.1:5000 or [::1]:5000")]
    Address(String),
    /// Plain HTTP where others can listen in.
    #[error(
        "plain HTTP on {0} would show passwords to the network: use TLS, or a loopback address, or set force_plain = true for a [[listener]] in the configuration file"
    )]
    PlainBeyondLoopback(SocketAddr),
    /// An address that nobody can listen on.
    #[error(
        "{0} is an address of many hosts, and a listener has one of this host's own: 0.0.0.0 and [::] mean all of them"
    )]
    ManyHosts(SocketAddr),
    /// No network.
    #[error("`{0}` is no network: give an address and a prefix length, such as 10.0.0.0/8 or fd00::/8")]
    Network(String),
    /// An address inside a network where the network was meant.
    #[error("`{0}` has bits set behind its prefix length: did you mean {1}?")]
    HostBits(String, Network),
    /// No log format.
    #[error("`{0}` is no log format: give `text` or `json`")]
    LogFormat(String),
    /// No log filter.
    #[error(
        "`{0}` is no log filter: give a level (error, warn, info, debug, trace) or `target=level`, separated by commas"
    )]
    LogFilter(String),
    /// No host name and no address.
    #[error("`{0}` is no host name or IP address that a certificate can hold")]
    TlsName(String),
}

/// One address that the registry and the management API are served on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    address: SocketAddr,
    tls: bool,
    client_ca: Option<PathBuf>,
}

impl Listener {
    /// TLS on `address`.
    pub const fn tls(address: SocketAddr) -> Self {
        Self { address, tls: true, client_ca: None }
    }

    /// Plain HTTP on `address`; beyond loopback only when `forced`.
    ///
    /// # Errors
    /// [`ValueError::PlainBeyondLoopback`].
    pub fn plain(address: SocketAddr, forced: bool) -> Result<Self, ValueError> {
        if address.ip().to_canonical().is_loopback() || forced {
            Ok(Self { address, tls: false, client_ca: None })
        } else {
            Err(ValueError::PlainBeyondLoopback(address))
        }
    }

    /// The same, asking clients for certificates of these authorities.
    #[must_use]
    pub fn asking(self, client_ca: PathBuf) -> Self {
        Self { client_ca: Some(client_ca), ..self }
    }

    /// A PEM file with the authorities of client certificates, where those are
    /// asked for.
    pub fn client_ca(&self) -> Option<&Path> {
        self.client_ca.as_deref()
    }

    /// Where to listen; port 0 takes a free one.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the system would not give both: the same port, on addresses of
    /// which one is the other or all of them. `[::]` takes IPv4 as well.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, two) = (self.address, other.address);
        let covers = |all: IpAddr, ip: IpAddr| match all {
            IpAddr::V4(all) => all.is_unspecified() && ip.is_ipv4(),
            IpAddr::V6(all) => all.is_unspecified(),
        };
        let (ip, another) = (one.ip().to_canonical(), two.ip().to_canonical());
        one.port() != 0
            && one.port() == two.port()
            && (ip == another || covers(one.ip(), another) || covers(two.ip(), ip))
    }

    /// Whether TLS is spoken there.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }
}

/// `ADDRESS:PORT` is TLS, `http://ADDRESS:PORT` plain HTTP on loopback: the
/// form of `--listen`.
impl FromStr for Listener {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.strip_prefix("http://") {
            Some(plain) => Self::plain(address(plain)?, false),
            None => Ok(Self::tls(address(text.strip_prefix("https://").unwrap_or(text))?)),
        }
    }
}

/// Reads a socket address.
///
/// # Errors
/// [`ValueError::Address`], [`ValueError::ManyHosts`].
pub fn address(text: &str) -> Result<SocketAddr, ValueError> {
    let address: SocketAddr = text.parse().map_err(|_| ValueError::Address(text.to_owned()))?;
    let is_broadcast = matches!(address.ip(), IpAddr::V4(ip) if ip.is_broadcast());
    if address.ip().to_canonical().is_multicast() || is_broadcast {
        return Err(ValueError::ManyHosts(address));
    }
    Ok(address)
}

/// An IP network: every address that shares the first `prefix` bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network's first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits its addresses share.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `address` is inside. An IPv4 address mapped into IPv6 counts
    /// as the IPv4 address that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix) == Some(self.address)
    }
}

impl FromStr for Network {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad = || ValueError::Network(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        if prefix.starts_with('+') {
            return Err(bad());
        }
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        let network = Self { address: masked(address, prefix).ok_or_else(bad)?, prefix };
        if network.address == address { Ok(network) } else { Err(ValueError::HostBits(text.to_owned(), network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(ValueError::LogFormat(text.to_owned())),
        }
    }
}

/// Which log lines are written, in `tracing`'s directives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for LogFilter {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        use tracing_subscriber::filter::{EnvFilter, LevelFilter};
        let bad = || ValueError::LogFilter(text.to_owned());
        // To `tracing`, a bare word is a target; here a level that is none is a slip.
        let level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
        let slip = |part: &str| !part.contains(['=', '[', ':']) && !level(part.trim());
        if text.split(',').any(slip) {
            return Err(bad());
        }
        EnvFilter::builder().parse(text).map_err(|_| bad())?;
        Ok(Self(text.to_owned()))
    }
}

/// A name in the certificate that is made at first start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsName(String);

impl TlsName {
    /// The host name or address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TlsName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        ServerName::try_from(text).map_err(|_| ValueError::TlsName(text.to_owned()))?;
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// `address` with all but its first `prefix` bits cleared; `None` when it has
/// not that many.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let behind = u32::BITS.checked_sub(prefix)?;
            let mask = u32::MAX.checked_shl(behind).unwrap_or(0);
            Some(IpAddr::V4((v4.to_bits() & mask).into()))
        }
        IpAddr::V6(v6) => {
            let behind = u128::BITS.checked_sub(prefix)?;
            let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
            Some(IpAddr::V6((v6.to_bits() & mask).into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_tls_unless_they_say_http_on_loopback() {
        let read = |text: &str| text.parse::<Listener>().map(|l| (l.address().to_string(), l.is_tls()));
        assert_eq!(read("127.0.0.1:0"), Ok(("127.0.0.1:0".into(), true)));
        assert_eq!(read("https://[::]:5000"), Ok(("[::]:5000".into(), true)));
        assert_eq!(read("http://127.0.0.1:5001"), Ok(("127.0.0.1:5001".into(), false)));
        assert_eq!(read("http://[::1]:1"), Ok(("[::1]:1".into(), false)));
        assert!(matches!(read("http://10.0.0.1:80"), Err(ValueError::PlainBeyondLoopback(_))));
        assert!(matches!(read("http://0.0.0.0:80"), Err(ValueError::PlainBeyondLoopback(_))));
        for bad in ["", "5000", "localhost:5000", "127.0.0.1", "127.0.0.1:70000"] {
            assert_eq!(read(bad), Err(ValueError::Address(bad.to_owned())));
        }
    }

    #[test]
    fn listeners_that_the_system_would_not_give_both_overlap() {
        let overlap = |one: &str, two: &str| {
            let read = |text: &str| text.parse::<Listener>().unwrap();
            let found = read(one).overlaps(&read(two));
            assert_eq!(found, read(two).overlaps(&read(one)), "{one} {two}");
            found
        };
        for (one, two, is_one) in [
            ("0.0.0.0:5000", "127.0.0.1:5000", true),
            ("127.0.0.1:5000", "http://127.0.0.1:5000", true),
            ("[::]:5000", "127.0.0.1:5000", true),
            ("[::]:5000", "0.0.0.0:5000", true),
            ("[::]:5000", "[::1]:5000", true),
            ("[::1]:5000", "127.0.0.1:5000", false),
            ("0.0.0.0:5000", "[::1]:5000", false),
            ("127.0.0.1:5000", "127.0.0.2:5000", false),
            ("0.0.0.0:5000", "127.0.0.1:5001", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!(overlap(one, two), is_one, "{one} {two}");
        }
        for many in ["224.0.0.1:5000", "[ff02::1]:5000", "255.255.255.255:5000"] {
            assert!(matches!(many.parse::<Listener>(), Err(ValueError::ManyHosts(_))), "{many}");
        }
    }

    #[test]
    fn networks_hold_what_shares_their_prefix() {
        let holds = |network: &str, address: &str| {
            network.parse::<Network>().expect("a network").contains(address.parse().expect("an address"))
        };
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "a00::", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::/0", "2001:db8::1", true),
        ] {
            assert_eq!(holds(network, address), inside, "{network} {address}");
        }
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "fd00::/129", "x/8"] {
            assert_eq!(bad.parse::<Network>(), Err(ValueError::Network(bad.to_owned())));
        }
        let slip = "10.1.2.3/8".parse::<Network>().expect_err("host bits").to_string();
        assert!(slip.ends_with("did you mean 10.0.0.0/8?"), "{slip}");
    }

    #[test]
    fn log_settings_refuse_slips() {
        for good in ["info", "WARN", "info,tidegate::http=debug", "off"] {
            assert!(good.parse::<LogFilter>().is_ok(), "{good}");
        }
        for bad in ["loud", "", "info,tidegate=loud", "tidegate"] {
            assert_eq!(bad.parse::<LogFilter>(), Err(ValueError::LogFilter(bad.to_owned())));
        }
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert_eq!("JSON".parse::<LogFormat>(), Err(ValueError::LogFormat("JSON".to_owned())));
    }

    #[test]
    fn names_fit_a_certificate() {
        for good in ["registry.example.org", "10.0.0.5", "::1", "Host"] {
            assert!(good.parse::<TlsName>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "https://x", "host:5000", "-x."] {
            assert_eq!(bad.parse::<TlsName>(), Err(ValueError::TlsName(bad.to_owned())));
        }
    }
}
