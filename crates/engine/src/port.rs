//! Which port a unit listens on: the same over restarts, so that fronts keep what they know about it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener};

use model::UnitName;

use crate::local::fnv;

/// The first port given to units.
pub const PORT_FIRST: u16 = 20_000;
/// How many ports are given to units: below the range the kernel picks from for outgoing connections.
pub const PORT_COUNT: u16 = 10_000;

/// A port of `address` that nobody listens on and that is not in `taken`: `before` if it still is one, else the
/// next from a place that follows from the unit's name. `None` when all are taken or the address is not here.
pub fn choose(
    address: IpAddr,
    unit: &UnitName,
    before: Option<u16>,
    taken: &BTreeSet<u16>,
) -> Option<SocketAddr> {
    let first = fnv(unit.as_str().as_bytes()) % u64::from(PORT_COUNT);
    let row = (0..u64::from(PORT_COUNT)).map(|at| {
        let offset = (first + at) % u64::from(PORT_COUNT);
        PORT_FIRST + u16::try_from(offset).unwrap_or_default()
    });
    before
        .into_iter()
        .chain(row)
        .filter(|port| !taken.contains(port))
        .map(|port| SocketAddr::new(address, port))
        .find(|address| TcpListener::bind(address).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_kept_until_somebody_else_listens_on_it() {
        let address: IpAddr = "127.0.0.77".parse().unwrap();
        let unit = UnitName::new("web-1").unwrap();
        let none = BTreeSet::new();
        let first = choose(address, &unit, None, &none).unwrap();
        assert_eq!(choose(address, &unit, None, &none), Some(first), "it follows from the name");
        let holder = TcpListener::bind(first).unwrap();
        let second = choose(address, &unit, Some(first.port()), &none).unwrap();
        assert_ne!(first, second);
        assert_eq!(choose(address, &unit, Some(second.port()), &none), Some(second));
        let third = choose(address, &unit, None, &BTreeSet::from([second.port()])).unwrap();
        assert!(third != first && third != second, "one that another unit was given is not given again");
        drop(holder);
    }

    #[test]
    fn an_address_of_another_machine_has_no_port() {
        let unit = UnitName::new("web-1").unwrap();
        let all: BTreeSet<u16> = (PORT_FIRST..PORT_FIRST + PORT_COUNT).collect();
        assert_eq!(choose("127.0.0.77".parse().unwrap(), &unit, None, &all), None);
    }
}
