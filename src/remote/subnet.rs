//! A range of addresses, `192.0.2.0/24`, for the operator's allow-list.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses. `Display` and `FromStr` round-trip.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// Not an address with or without a prefix length.
    #[error("a range of addresses is an address with a prefix length, such as 10.0.0.0/8 or fd00::/8, or one address")]
    Shape,
    /// Bits beyond the prefix.
    #[error("the address has bits set beyond its prefix length; write the range's first address")]
    HostBits,
}

impl Subnet {
    /// Whether `address` lies in the range; a mapped IPv4 address is one.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (mine, width) = bits(self.address);
        let (other, other_width) = bits(address.to_canonical());
        width == other_width && (mine ^ other) & mask(self.prefix, width) == 0
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| SubnetError::Shape)?;
        let (value, width) = bits(address);
        let prefix = match prefix {
            None => width,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|&prefix| prefix <= width).ok_or(SubnetError::Shape)?
            }
            Some(_) => return Err(SubnetError::Shape),
        };
        if value & !mask(prefix, width) != 0 {
            return Err(SubnetError::HostBits);
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> serde::Deserialize<'de> for Subnet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// The bits a prefix covers, within an address of `width` bits.
fn mask(prefix: u8, width: u8) -> u128 {
    let all = u128::MAX >> (128 - u32::from(width));
    all & !all.checked_shr(u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains_its_addresses_only() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("0.0.0.0/0", "255.0.0.1", "::1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::2"),
        ] {
            let subnet: Subnet = range.parse().expect(range);
            assert!(subnet.contains(inside.parse().expect(inside)), "{range} {inside}");
            assert!(!subnet.contains(outside.parse().expect(outside)), "{range} {outside}");
            assert_eq!(subnet.to_string().parse(), Ok(subnet));
        }
    }

    #[test]
    fn refuses_what_is_no_range() {
        for bad in ["", "10", "10.0.0.0/", "10.0.0.0/33", "fd00::/129", "10.0.0.0/+8", "host/8", "10.0.0.0/8/8"] {
            assert_eq!(bad.parse::<Subnet>(), Err(SubnetError::Shape), "{bad}");
        }
        assert_eq!("10.0.0.1/8".parse::<Subnet>(), Err(SubnetError::HostBits));
    }
}
