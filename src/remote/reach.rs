//! Which addresses may be dialled.
//!
//! Public ones always; loopback and private ranges only where a system admin
//! saved the policy or the operator's allow-list has them; this instance's own
//! listeners, metadata services and addresses that are nobody's never.

use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::{Class, Subnet};

/// Which addresses may be dialled. The default is public ones alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reach {
    /// Whether loopback, private and shared ranges are allowed.
    pub private: bool,
    /// This instance's own listeners; an unspecified address means every
    /// address of this machine.
    pub own: Vec<SocketAddr>,
    /// Ranges that are allowed whatever `private` says; they do not open what
    /// is never dialled.
    pub allow: Vec<Subnet>,
}

/// Why an address is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is never dialled.
    Never(Class),
    /// It would be dialled if somebody allowed it.
    NotAllowed(Class),
    /// It is a listener of this very instance.
    Own,
}

impl Reach {
    /// Whether `target` may be dialled.
    pub fn check(&self, target: SocketAddr) -> Result<(), Refusal> {
        let address = target.ip();
        if self.is_own(target) {
            return Err(Refusal::Own);
        }
        match Class::of(address) {
            Class::Public => Ok(()),
            class @ (Class::Private | Class::Shared | Class::Loopback) => {
                if self.private || self.allows(address) {
                    Ok(())
                } else {
                    Err(Refusal::NotAllowed(class))
                }
            }
            class @ (Class::Documentation | Class::Special) => {
                if self.allows(address) {
                    Ok(())
                } else {
                    Err(Refusal::NotAllowed(class))
                }
            }
            class @ (Class::Reserved | Class::Unspecified | Class::Multicast | Class::LinkLocal | Class::Metadata) => {
                Err(Refusal::Never(class))
            }
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|range| range.contains(address))
    }

    fn is_own(&self, target: SocketAddr) -> bool {
        let address = target.ip().to_canonical();
        self.own.iter().filter(|own| own.port() == target.port()).any(|own| {
            let listening = own.ip().to_canonical();
            listening == address || listening.is_unspecified() && is_of_this_machine(address)
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never(class) => write!(f, "{class}, which is never connected to"),
            Self::NotAllowed(class) => {
                write!(f, "{class}; a system admin may save the policy, or the operator may allow the range")
            }
            Self::Own => f.write_str("a listener of this very instance; a mirror needs another registry"),
        }
    }
}

/// Whether a packet to `address` stays on this machine: what can be bound is
/// ours. (The list of interfaces would be a snapshot; this asks the kernel.)
fn is_of_this_machine(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect(text)
    }

    #[test]
    fn private_places_need_leave_and_some_places_have_none() {
        let strict = Reach::default();
        let open = Reach { private: true, ..Reach::default() };
        let listed = Reach {
            allow: ["10.1.0.0/16", "192.0.2.0/24", "169.254.0.0/16", "255.255.255.255"]
                .map(|r| r.parse().expect(r))
                .to_vec(),
            ..Reach::default()
        };
        for (target, strictly, openly, by_list) in [
            ("8.8.8.8:443", true, true, true),
            ("[2606:4700::1]:443", true, true, true),
            ("127.0.0.1:443", false, true, false),
            ("[::1]:443", false, true, false),
            ("10.1.2.3:443", false, true, true),
            ("[::ffff:10.1.2.3]:443", false, true, true),
            ("10.2.0.1:443", false, true, false),
            ("100.64.0.1:443", false, true, false),
            ("192.0.2.1:443", false, false, true),
            ("198.18.0.1:443", false, false, false),
            ("169.254.169.254:80", false, false, false),
            ("[::ffff:169.254.169.254]:80", false, false, false),
            ("[64:ff9b::a9fe:a9fe]:80", false, false, false),
            ("[fd00:ec2::254]:80", false, false, false),
            ("[fe80::1]:80", false, false, false),
            ("0.0.0.0:80", false, false, false),
            ("224.0.0.1:80", false, false, false),
            ("255.255.255.255:80", false, false, false),
        ] {
            let target = at(target);
            assert_eq!(strict.check(target).is_ok(), strictly, "{target}");
            assert_eq!(open.check(target).is_ok(), openly, "{target}");
            assert_eq!(listed.check(target).is_ok(), by_list, "{target}");
        }
    }

    #[test]
    fn own_listeners_are_never_dialled() {
        let own = |own: &[&str]| Reach { private: true, own: own.iter().map(|a| at(a)).collect(), ..Reach::default() };
        for (listeners, target, refused) in [
            (&["127.0.0.1:5000"][..], "127.0.0.1:5000", true),
            (&["127.0.0.1:5000"], "[::ffff:127.0.0.1]:5000", true),
            (&["127.0.0.1:5000"], "127.0.0.1:5001", false),
            (&["127.0.0.1:5000"], "127.0.0.2:5000", false),
            (&["0.0.0.0:5000"], "127.0.0.2:5000", true),
            (&["[::]:5000"], "127.0.0.1:5000", true),
            (&["0.0.0.0:5000"], "[::1]:5000", true),
            (&["0.0.0.0:5000"], "10.255.254.253:5000", false),
            (&["8.8.8.8:5000"], "8.8.8.8:5000", true),
        ] {
            let verdict = own(listeners).check(at(target));
            assert_eq!(verdict == Err(Refusal::Own), refused, "{listeners:?} {target} {verdict:?}");
        }
    }
}
