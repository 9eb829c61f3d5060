//! Which addresses are one client's.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address; or the first of the /64 of an IPv6 one, which is what one
/// customer has.
pub fn address_block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}
