//! Regions, and places of users, that a file may name. Which there are is the caller's to know: prices and maps are no part of the
//! file.

use crate::suggest;

/// A region that a file may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRegion {
    /// `aws`, `gcp` or `alicloud`.
    pub provider: String,
    /// The provider's id, `eu-central-1`.
    pub id: String,
    /// The geographic name that stands for it, `eu-central`; `None`: it is meant by its id alone.
    pub place: Option<String>,
    /// ISO 3166 code of its country.
    pub country: String,
    /// Whose law data stored there is under: `EU`, or a country, which may be written otherwise: `UK` for `GB`.
    pub residency: String,
}

/// Tells every region there is; none: nobody knows, and nothing is said of names.
pub type Regions<'r> = dyn Fn() -> Vec<KnownRegion> + 'r;

impl KnownRegion {
    /// Whether `name` stands for it.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    /// Whether `code` stands for its country or its law.
    pub(crate) fn is_in(&self, code: &str) -> bool {
        self.country == code || self.residency == code
    }

    /// What stands for it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.place.as_deref().into_iter().chain([self.id.as_str()])
    }
}

/// A city or a country that users may be in.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownPlace {
    /// In English, without accents.
    pub name: String,
    /// ISO 3166 code of its country.
    pub country: String,
    /// Degrees north.
    pub north: f64,
    /// Degrees east.
    pub east: f64,
}

/// Tells every place there is, of those with the same name the one first that the name alone means; none: nobody knows, nothing is
/// said of names, and users whose coordinates the file does not give are left out.
pub type Places<'p> = dyn Fn() -> Vec<KnownPlace> + 'p;

impl KnownPlace {
    /// Whether `name` stands for it, alone or as `Name, CC`; `name` as [`plain`] gives it.
    pub(crate) fn is(&self, name: &str) -> bool {
        let own = plain(&self.name);
        own == name
            || name.rsplit_once(',').is_some_and(|(city, country)| {
                own == city.trim_end() && self.country.eq_ignore_ascii_case(country.trim_start())
            })
    }
}

/// Degrees north and east of `name`: of a place that is known, alone or as `Name, CC`, or as they are written.
///
/// # Errors
/// There is no such place; with the name of the nearest one that is spelt nearly so, if there is one.
pub fn find_place<'p>(name: &str, known: &'p [KnownPlace]) -> Result<(f64, f64), Option<&'p str>> {
    let wanted = plain(name);
    let found = || known.iter().find(|place| place.is(&wanted)).map(|place| (place.north, place.east));
    let near = || suggest::nearest(&wanted, known.iter().map(|place| place.name.as_str()));
    coordinates(name).or_else(found).ok_or_else(near)
}

/// `50.1 8.7`, or with a comma: degrees north and east.
pub(crate) fn coordinates(text: &str) -> Option<(f64, f64)> {
    let mut parts = text.split([' ', ',']).filter(|part| !part.is_empty());
    let mut degrees = |most: f64| {
        let part = parts.next()?;
        let plain = part.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'));
        part.parse::<f64>().ok().filter(|degrees| plain && degrees.abs() <= most)
    };
    let at = (degrees(90.0)?, degrees(180.0)?);
    parts.next().is_none().then_some(at)
}

/// Lower case, without the accents of Latin letters.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for letter in name.trim().chars().flat_map(char::to_lowercase) {
        match letter {
            'à'..='å' | 'ā' | 'ă' | 'ą' => plain.push('a'),
            'ç' | 'ć' | 'č' => plain.push('c'),
            'ď' | 'đ' | 'ð' => plain.push('d'),
            'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' => plain.push('e'),
            'ğ' => plain.push('g'),
            'ì'..='ï' | 'ī' | 'ı' => plain.push('i'),
            'ł' => plain.push('l'),
            'ñ' | 'ń' | 'ň' => plain.push('n'),
            'ò'..='ö' | 'ø' | 'ō' | 'ő' => plain.push('o'),
            'ř' => plain.push('r'),
            'ś' | 'š' | 'ş' | 'ș' => plain.push('s'),
            'ß' => plain.push_str("ss"),
            'ť' | 'ţ' | 'ț' => plain.push('t'),
            'ù'..='ü' | 'ū' | 'ů' | 'ű' => plain.push('u'),
            'ý' | 'ÿ' => plain.push('y'),
            'ź' | 'ż' | 'ž' => plain.push('z'),
            'æ' => plain.push_str("ae"),
            '’' => plain.push('\''),
            // A dot that lower case leaves over `i`.
            '\u{307}' => {}
            other => plain.push(other),
        }
    }
    plain
}
