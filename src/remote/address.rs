//! What kind of place an IP address is, for deciding whether to go there.
//!
//! From the IANA special-purpose registries (RFC 6890) and the addresses where
//! cloud providers serve credentials to whoever asks from the inside. An IPv6
//! address that carries an IPv4 address (mapped, compatible, translated, NAT64,
//! 6to4, Teredo) is what the carried address is, because that is where the
//! packets end up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is. Ordered by how little business anybody
/// has going there: of two, the greater decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The internet.
    Public,
    /// A private network: RFC 1918, unique local IPv6.
    Private,
    /// Shared between a carrier and its customers, and used by overlay
    /// networks: 100.64.0.0/10.
    Shared,
    /// This machine.
    Loopback,
    /// Set aside for documentation.
    Documentation,
    /// Set aside for benchmarks, protocols and other special uses.
    Special,
    /// Not given out.
    Reserved,
    /// "This network", or no address at all.
    Unspecified,
    /// Many receivers at once.
    Multicast,
    /// This network segment alone.
    LinkLocal,
    /// A cloud provider's metadata service.
    Metadata,
}

impl Class {
    /// The class of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Private => "an address of a private network",
            Self::Shared => "an address of a carrier's or overlay network",
            Self::Loopback => "a loopback address",
            Self::Documentation => "an address set aside for documentation",
            Self::Special => "an address set aside for special uses",
            Self::Reserved => "a reserved address",
            Self::Unspecified => "an unspecified address",
            Self::Multicast => "a multicast address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the address of a cloud metadata service",
        })
    }
}

fn of_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        // Alibaba Cloud, Oracle Cloud, Azure.
        [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] | [169, 254, 169, 254] => Class::Metadata,
        [169, 254, ..] => Class::LinkLocal,
        [0, ..] => Class::Unspecified,
        [127, ..] => Class::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
        [100, 64..=127, ..] => Class::Shared,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Class::Documentation,
        // Protocol assignments, retired 6to4 relays, benchmarks.
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => Class::Special,
        [224..=239, ..] => Class::Multicast,
        [240..=255, ..] => Class::Reserved,
        _ => Class::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Class {
    let s = address.segments();
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Loopback,
        // Compatible, mapped, translated (SIIT), NAT64.
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of_v4(carried(high, low)),
        // NAT64 under a local prefix of unknown length.
        [0x64, 0xff9b, 1, ..] => Class::Special,
        // 6to4.
        [0x2002, high, low, ..] => of_v4(carried(high, low)),
        // Teredo: the server's address, and the client's with its bits turned.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            of_v4(carried(high, low)).max(of_v4(carried(!client_high, !client_low)))
        }
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => Class::Documentation,
        // Benchmarks, ORCHID and the rest of the protocol assignments.
        [0x2001, 0..=0x01ff, ..] => Class::Special,
        // Discard-only, segment routing, deprecated site-local.
        [0x100, 0, 0, 0, ..] | [0x5f00, ..] | [0xfec0..=0xfeff, ..] => Class::Special,
        // AWS, Google Cloud, Scaleway, Oracle Cloud.
        [0xfd00, 0xec2, ..] | [0xfd20, 0xce, ..] | [0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42] | [0xfd00, 0xc1, ..] => {
            Class::Metadata
        }
        [0xfc00..=0xfdff, ..] => Class::Private,
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        [0xff00..=0xffff, ..] => Class::Multicast,
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Reserved,
    }
}

fn carried(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_place() {
        use Class::*;
        let table = [
            ("1.1.1.1", Public),
            ("8.8.8.8", Public),
            ("9.255.255.255", Public),
            ("11.0.0.0", Public),
            ("100.63.255.255", Public),
            ("100.128.0.0", Public),
            ("126.255.255.255", Public),
            ("128.0.0.1", Public),
            ("168.63.129.17", Public),
            ("169.253.255.255", Public),
            ("169.255.0.0", Public),
            ("172.15.255.255", Public),
            ("172.32.0.0", Public),
            ("192.0.1.0", Public),
            ("192.167.255.255", Public),
            ("192.169.0.0", Public),
            ("198.17.255.255", Public),
            ("198.20.0.0", Public),
            ("223.255.255.255", Public),
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.0.1", Private),
            ("100.64.0.1", Shared),
            ("100.127.255.255", Shared),
            ("100.100.100.200", Metadata),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("168.63.129.16", Metadata),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", LinkLocal),
            ("169.254.0.1", LinkLocal),
            ("192.0.0.1", Special),
            ("192.0.0.192", Metadata),
            ("192.0.2.1", Documentation),
            ("198.51.100.7", Documentation),
            ("203.0.113.9", Documentation),
            ("192.88.99.1", Special),
            ("198.18.0.1", Special),
            ("198.19.255.255", Special),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Reserved),
            ("::", Unspecified),
            ("::1", Loopback),
            ("::2", Unspecified),
            ("::127.0.0.1", Loopback),
            ("::10.0.0.1", Private),
            ("::ffff:8.8.8.8", Public),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:10.1.2.3", Private),
            ("::ffff:169.254.169.254", Metadata),
            ("::ffff:0.0.0.0", Unspecified),
            ("::ffff:0:169.254.169.254", Metadata),
            ("::ffff:0:192.168.1.1", Private),
            ("64:ff9b::8.8.8.8", Public),
            ("64:ff9b::169.254.169.254", Metadata),
            ("64:ff9b::127.0.0.1", Loopback),
            ("64:ff9b::192.168.0.1", Private),
            ("64:ff9b:1::10.0.0.1", Special),
            ("64:ff9b:2::1", Reserved),
            ("2002:0808:0808::1", Public),
            ("2002:7f00:1::", Loopback),
            ("2002:a9fe:a9fe::1", Metadata),
            ("2002:c0a8:101::1", Private),
            // Teredo, both carried addresses public: 65.54.227.120, 192.0.2.45 turned.
            ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", Public),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Documentation),
            // Its server is private; its client is 169.254.169.254.
            ("2001:0:a00:1:8000:63bf:f7f7:f7f7", Private),
            ("2001:0:4136:e378:8000:63bf:5601:5601", Metadata),
            ("2001:db8::1", Documentation),
            ("3fff::1", Documentation),
            ("3fff:fff:ffff::1", Documentation),
            ("3fff:1000::1", Public),
            ("2001:2::1", Special),
            ("2001:10::1", Special),
            ("2001:20::1", Special),
            ("2001:1ff:ffff::1", Special),
            ("2001:200::1", Public),
            ("100::1", Special),
            ("100:0:0:1::1", Reserved),
            ("5f00::1", Special),
            ("2606:4700:4700::1111", Public),
            ("2a00:1450::1", Public),
            ("fc00::1", Private),
            ("fd12:3456:789a::1", Private),
            ("fdff:ffff::1", Private),
            ("fd00:ec2::254", Metadata),
            ("fd00:ec2::253", Metadata),
            ("fd20:ce::254", Metadata),
            ("fd00:42::42", Metadata),
            ("fd00:c1::a9fe:a9fe", Metadata),
            ("fe80::1", LinkLocal),
            ("febf:ffff::1", LinkLocal),
            ("fec0::1", Special),
            ("ff02::1", Multicast),
            ("ffff:ffff::1", Multicast),
            ("4000::1", Reserved),
            ("fe00::1", Reserved),
        ];
        for (address, class) in table {
            assert_eq!(Class::of(address.parse().expect(address)), class, "{address}");
        }
    }
}
