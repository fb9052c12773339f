//! Places that users may be in, for who reads the user's file.

use super::Coordinates;

/// A city or a country.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// In English, without accents.
    pub name: &'static str,
    /// ISO 3166 code of its country.
    pub country: &'static str,
    /// The city, or the capital or largest city of the country.
    pub at: Coordinates,
}

/// Every place, of those with the same name the largest first. Read when it is called: most files say nothing of users.
#[must_use]
pub fn places() -> Vec<Place> {
    // A test shows that every line can be read.
    include_str!("../../../../catalog/places.csv").lines().filter_map(place).collect()
}

fn place(line: &'static str) -> Option<Place> {
    let mut fields = line.split(',');
    let (name, country) = (fields.next()?, fields.next()?);
    let (north, east) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    fields.next().is_none().then_some(Place { name, country, at: Coordinates { north, east } })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_line_is_a_place_of_its_own() {
        let text = include_str!("../../../../catalog/places.csv");
        let lines = text.lines().filter(|line| !line.starts_with(['#', '[']) && !line.starts_with("name,"));
        let places = places();
        assert_eq!(places.len(), lines.count());
        assert!(places.len() > 1_000 && text.len() < 60_000);
        let mut names = BTreeSet::new();
        for Place { name, country, at } in &places {
            assert!(names.insert((name.to_lowercase(), country)), "{name}, {country} is there twice");
            assert!(country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()), "{name}");
            assert!(name.is_ascii() && name.trim() == *name && !name.is_empty(), "{name}");
            assert!(at.north.abs() <= 90.0 && at.east.abs() <= 180.0, "{name}");
        }
        let at = |name: &str| places.iter().find(|place| place.name == name).unwrap();
        assert_eq!((at("Hyderabad").country, at("Frankfurt").country), ("IN", "DE"));
        let way = at("Frankfurt").at.distance_km(at("Singapore").at);
        assert!((10_200.0..10_350.0).contains(&way), "{way}");
        // A country stands at its capital.
        assert_eq!(at("Japan").at, at("Tokyo").at);
    }
}
