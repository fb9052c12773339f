//! What if: small changes to what the file asks for, in words, each planned as if the file said so.
//!
//! A closed grammar: what is not listed in [`FORMS`] is refused with the list. Values are those of the file.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use model::{
    App, Availability, Bytes, Cache, CacheLoss, Duration, Managed, Money, PerScope, Rate, Scope, Sharing,
    Users,
};

use crate::{Options, Terms, size};

/// Every form of a change and what it means.
pub const FORMS: &[(&str, &str)] = &[
    ("load [SERVICE] x2", "`load` of every service (and `writes` of every database), or of one"),
    ("load SERVICE 800rps", "`load.peak`; the mean keeps its share of it"),
    ("writes [DATABASE] x2", "`writes` of every database, or of one; also `writes DATABASE 200/s`"),
    ("storage [DATABASE] x2", "`storage`; also `storage DATABASE 200G`"),
    ("prices [PROVIDER] +20%", "every price of the catalogue, or those of one provider"),
    ("availability 99.99%", "`objectives.availability`, or `availability none`"),
    ("budget 500", "`objectives.budget` in USD/month, or `budget none`"),
    ("survive zone", "`objectives.survive`: `zone`, `node`, `zone node` or `nothing`"),
    ("rto zone 30s", "`objectives.rto` of a `node`, `zone` or `region`, or `none`; `rpo` likewise"),
    ("scale.max [SERVICE] 12", "`scale.max` of every service, or of one"),
    ("standbys [DATABASE] 1", "`standbys` of every database, or of one; `auto`: those of the cheapest plan"),
    ("replicas [CACHE] 1", "`replicas` of every cache, or of one; also `memory [CACHE] x2` or `4G`"),
    ("loss [CACHE] tolerated", "`loss` of every cache, or of one; also `outage`"),
    ("run_by [DATABASE] provider", "`run_by` of every database, or of one; also `evenkeel` or `auto`"),
    ("zones 2", "`placement.zones`"),
    ("machines apart", "`placement.machines`: `apart`, `together` or `any`"),
    ("residency EU CH", "`placement.residency`: laws or countries, or `residency any`"),
    ("users Paris 70% Oslo 30%", "`placement.users`: places with their shares, or `users none`"),
    ("assume zone_outage.hours 12", "one of `assume:`, also as the file has it: `assume deploy_repair 3m`"),
];

/// Keys of `assume:` in the file that are an assumption by themselves, and its name here.
const WRITTEN: [(&str, &str); 8] = [
    ("deploy_failures", "deploy_failures.per_year"),
    ("deploy_repair", "deploy_failures.hours"),
    ("takeover_quorum", "takeover_quorum.seconds"),
    ("takeover_lease", "takeover_lease.seconds"),
    ("takeover_cache", "takeover_cache.seconds"),
    ("response", "response.kilobytes"),
    ("write", "write.kilobytes"),
    ("detour", "detour.times"),
];

/// The assumption that a key of the file is.
fn written(key: &str) -> &str {
    WRITTEN.iter().find(|(written, _)| *written == key).map_or(key, |(_, name)| name)
}

/// How the file has an assumption.
pub(crate) fn as_written(name: &str) -> &str {
    WRITTEN.iter().find(|(_, other)| *other == name).map_or(name, |(written, _)| written)
}

/// Changes whose values may have commas of their own.
const LISTS: [&str; 2] = ["residency", "users"];

/// How far the shares of users may be from 100 % together, as in the file.
const ROUNDED: f64 = 1.0;

/// Finds a place of users by its name or its coordinates: degrees north and east, or what would have been right.
pub type FindPlace<'p> = dyn Fn(&str) -> Result<(f64, f64), String> + 'p;

/// Why a text is no change, or cannot be made to this file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It is none of the forms.
    #[error("`{text}` is no change that is known; there are\n{}", forms())]
    Unknown {
        /// What was written.
        text: String,
    },
    /// It begins like one, and a part of it is wrong.
    #[error("`{text}`: `{part}` is wrong; expected {expected}")]
    Value {
        /// What was written.
        text: String,
        /// The part.
        part: String,
        /// What would have been right.
        expected: String,
    },
    /// The file has nothing to be changed.
    #[error("`{text}`: {why}")]
    Nothing {
        /// What was written.
        text: String,
        /// What is missing.
        why: String,
    },
}

fn forms() -> String {
    let each = FORMS.iter().map(|(form, what)| format!("  {form:<28} {what}"));
    each.collect::<Vec<_>>().join("\n")
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    text: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Load(Of, By<Rate>),
    Writes(Of, By<Rate>),
    Storage(Of, By<Bytes>),
    Prices(Of, f64),
    Availability(Option<Availability>),
    Budget(Option<Money>),
    Survive(Vec<Scope>),
    Recovery {
        time: bool,
        scope: Scope,
        asked: Option<Duration>,
    },
    ScaleMax(Of, u32),
    /// `None`: as many as the plan says.
    Standbys(Of, Option<u8>),
    Managed(Of, Managed),
    Replicas(Of, u8),
    Memory(Of, By<Bytes>),
    Loss(Of, CacheLoss),
    Zones(u8),
    Machines(Sharing),
    Residency(Vec<String>),
    Users(Vec<Users>),
    Assume(String, f64),
    WithoutLossOf(Scope),
    WithoutPart(String),
}

/// A name, or all there are.
type Of = Option<String>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum By<T> {
    Factor(f64),
    To(T),
}

/// Reads changes, one or several with commas between them; `places` is asked where users are.
///
/// # Errors
/// [`ChangeError`] with the part that is wrong and what would be right.
pub fn changes(text: &str, places: &FindPlace<'_>) -> Result<Vec<Change>, ChangeError> {
    let verb = |part: &str| part.split_whitespace().next().unwrap_or_default().to_owned();
    let mut each: Vec<String> = Vec::new();
    for part in text.split(',') {
        match each.last_mut() {
            Some(list) if LISTS.contains(&&*verb(list)) && !begins(&verb(part)) => {
                list.push(',');
                list.push_str(part);
            }
            _ => each.push(part.to_owned()),
        }
    }
    each.iter().map(|one| Change::read(one, places)).collect()
}

/// Whether a change begins with this word.
fn begins(word: &str) -> bool {
    word == "rpo" || FORMS.iter().any(|(form, _)| form.split(' ').next() == Some(word))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Without knowing any place, so that `users` alone are refused unless there are `none`.
impl FromStr for Change {
    type Err = ChangeError;

    fn from_str(text: &str) -> Result<Change, ChangeError> {
        Change::read(text, &|_| Err("a place where places are known".to_owned()))
    }
}

impl Change {
    /// Reads one change; `places` is asked where users are.
    ///
    /// # Errors
    /// As [`changes`].
    pub fn read(text: &str, places: &FindPlace<'_>) -> Result<Change, ChangeError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let text = words.join(" ");
        let unknown = || ChangeError::Unknown { text: text.clone() };
        let (&verb, rest) = words.split_first().ok_or_else(unknown)?;
        let read = Words { text: &text, rest };
        let what = match verb {
            "load" => {
                read.named().map(|(of, by)| Ok(What::Load(of, read.by(by, "a rate such as `800rps`")?)))
            }
            "writes" => {
                read.named().map(|(of, by)| Ok(What::Writes(of, read.by(by, "a rate such as `200/s`")?)))
            }
            "storage" => {
                read.named().map(|(of, by)| Ok(What::Storage(of, read.by(by, "a size such as `200G`")?)))
            }
            "prices" => read.named().map(|(of, by)| Ok(What::Prices(of, read.factor(by)?))),
            "availability" => read.one().map(|value| Ok(What::Availability(read.or_none(value)?))),
            "budget" => read.budget().map(|value| Ok(What::Budget(value?))),
            "survive" => read.some().map(|scopes| Ok(What::Survive(read.survived(scopes)?))),
            "rto" | "rpo" => read.two().map(|(scope, value)| {
                let (scope, asked) = (read.scope(scope)?, read.or_none(value)?);
                Ok(What::Recovery { time: verb == "rto", scope, asked })
            }),
            "scale.max" => read.named().map(|(of, value)| Ok(What::ScaleMax(of, read.number(value)?))),
            "standbys" => read.named().map(|(of, value)| Ok(What::Standbys(of, read.standbys(value)?))),
            "replicas" => read.named().map(|(of, value)| Ok(What::Replicas(of, read.number(value)?))),
            "memory" => {
                read.named().map(|(of, by)| Ok(What::Memory(of, read.by(by, "a size such as `4G`")?)))
            }
            "loss" => read.named().map(|(of, word)| Ok(What::Loss(of, read.loss(word)?))),
            "run_by" => read.named().map(|(of, word)| Ok(What::Managed(of, read.managed(word)?))),
            "zones" => read.one().map(|value| Ok(What::Zones(read.number(value)?))),
            "machines" => read.one().map(|word| Ok(What::Machines(read.sharing(word)?))),
            "residency" => read.some().map(|codes| Ok(What::Residency(read.codes(codes)?))),
            "users" => read.some().map(|words| Ok(What::Users(read.users(words, places)?))),
            "assume" => read.two().map(|(name, value)| {
                let name = written(name);
                Ok(What::Assume(name.to_owned(), read.assumed(name, value)?))
            }),
            _ => None,
        };
        let what = what.ok_or_else(unknown)??;
        Ok(Change { text, what })
    }
}

/// The words after the first.
struct Words<'t> {
    text: &'t str,
    rest: &'t [&'t str],
}

impl<'t> Words<'t> {
    fn wrong(&self, part: &str, expected: impl Into<String>) -> ChangeError {
        let (text, part) = (self.text.to_owned(), part.to_owned());
        ChangeError::Value { text, part, expected: expected.into() }
    }

    fn one(&self) -> Option<&'t str> {
        if let [one] = self.rest { Some(one) } else { None }
    }

    /// One or more.
    fn some(&self) -> Option<&'t [&'t str]> {
        (!self.rest.is_empty()).then_some(self.rest)
    }

    fn two(&self) -> Option<(&'t str, &'t str)> {
        if let [one, two] = self.rest { Some((one, two)) } else { None }
    }

    /// A value with or without a name before it.
    fn named(&self) -> Option<(Of, &'t str)> {
        match self.rest {
            [value] => Some((None, value)),
            [name, value] => Some((Some((*name).to_owned()), value)),
            _ => None,
        }
    }

    /// `500`, `500 USD/month`, `none`.
    fn budget(&self) -> Option<Result<Option<Money>, ChangeError>> {
        let value = match self.rest {
            [value] | [value, "USD/month"] => *value,
            _ => return None,
        };
        if value == "none" {
            return Some(Ok(None));
        }
        let usd = value.parse::<f64>().ok().filter(|usd| (0.0..=1e9).contains(usd));
        Some(
            usd.map(|usd| Some(Money::from_usd(usd)))
                .ok_or_else(|| self.wrong(value, "USD a month from 0, or `none`")),
        )
    }

    /// `x2`, `x0.5`, `+20%`, `-10%`.
    fn factor(&self, word: &str) -> Result<f64, ChangeError> {
        let plain = |text: &str| {
            text.bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| text.parse::<f64>().ok())?
        };
        let percent = |text: &str| plain(text.strip_suffix('%')?);
        let factor = match word.split_at_checked(1) {
            Some(("x", rest)) => plain(rest),
            Some(("+", rest)) => percent(rest).map(|more| 1.0 + more / 100.0),
            Some(("-", rest)) => percent(rest).map(|less| 1.0 - less / 100.0),
            _ => None,
        };
        let factor = factor.filter(|factor| *factor > 0.0 && *factor <= 1e6);
        factor.ok_or_else(|| self.wrong(word, "a factor above 0 such as `x2`, `x0.5`, `+20%` or `-10%`"))
    }

    fn by<T: FromStr>(&self, word: &str, to: &str) -> Result<By<T>, ChangeError> {
        match (self.factor(word), word.parse()) {
            (Ok(factor), _) => Ok(By::Factor(factor)),
            (Err(_), Ok(to)) => Ok(By::To(to)),
            (Err(_), Err(_)) => {
                Err(self.wrong(word, format!("a factor such as `x2`, `x0.5`, `+20%` or `-10%`, or {to}")))
            }
        }
    }

    fn or_none<T: FromStr<Err = model::BadQuantity>>(&self, word: &str) -> Result<Option<T>, ChangeError> {
        if word == "none" {
            return Ok(None);
        }
        word.parse()
            .map(Some)
            .map_err(|error: model::BadQuantity| self.wrong(word, format!("{}, or `none`", error.expected)))
    }

    /// A plain number in the unit of the assumption, or as the file has it: `3m`, `4/year`, `2K`.
    fn assumed(&self, name: &str, word: &str) -> Result<f64, ChangeError> {
        if let Ok(number) = self.number(word) {
            return Ok(number);
        }
        let lasts = |ms: f64| word.parse::<Duration>().ok().map(|lasts| lasts.0 as f64 / ms);
        let (value, expected) = match name.rsplit_once('.').map(|(_, unit)| unit) {
            Some("hours") => (lasts(3_600e3), "a plain number of hours, or a duration such as `3m`"),
            Some("seconds") => (lasts(1e3), "a plain number of seconds, or a duration such as `500ms`"),
            Some("kilobytes") => {
                let size = word.parse::<Bytes>().ok().map(|size| size.0 as f64 / 1e3);
                (size, "a plain number of kB, or a size such as `2K`")
            }
            Some("per_year") => {
                let times = word.strip_suffix("/year").and_then(|times| self.number(times).ok());
                (times, "a plain number, or `4/year`")
            }
            _ => (None, "a plain number"),
        };
        value.ok_or_else(|| self.wrong(word, expected))
    }

    fn number<T: FromStr>(&self, word: &str) -> Result<T, ChangeError> {
        // No sign, exponent, `inf` or `nan`: whether the number makes sense is the planner's to say.
        let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number = word.parse().ok().filter(|_| plain);
        number.ok_or_else(|| self.wrong(word, "a plain number"))
    }

    fn standbys(&self, word: &str) -> Result<Option<u8>, ChangeError> {
        let number = || self.number(word).map_err(|_| self.wrong(word, "a plain number, or `auto`"));
        if word == "auto" { Ok(None) } else { number().map(Some) }
    }

    fn managed(&self, word: &str) -> Result<Managed, ChangeError> {
        match word {
            "evenkeel" => Ok(Managed::No),
            "provider" => Ok(Managed::Yes),
            "auto" => Ok(Managed::Auto),
            _ => Err(self.wrong(word, "`evenkeel`, `provider` or `auto`")),
        }
    }

    fn loss(&self, word: &str) -> Result<CacheLoss, ChangeError> {
        match word {
            "outage" => Ok(CacheLoss::Outage),
            "tolerated" => Ok(CacheLoss::Tolerated),
            _ => Err(self.wrong(word, "`outage` or `tolerated`")),
        }
    }

    fn scope(&self, word: &str) -> Result<Scope, ChangeError> {
        match word {
            "node" => Ok(Scope::Node),
            "zone" => Ok(Scope::Zone),
            "region" => Ok(Scope::Region),
            _ => Err(self.wrong(word, "`node`, `zone` or `region`")),
        }
    }

    fn sharing(&self, word: &str) -> Result<Sharing, ChangeError> {
        match word {
            "apart" => Ok(Sharing::Apart),
            "together" => Ok(Sharing::Together),
            "any" => Ok(Sharing::Any),
            _ => Err(self.wrong(word, "`apart`, `together` or `any`")),
        }
    }

    /// `EU CH`, `EU, CH`, `any`.
    fn codes(&self, words: &[&str]) -> Result<Vec<String>, ChangeError> {
        if words == ["any"] {
            return Ok(Vec::new());
        }
        let codes: Vec<String> = words.iter().map(|word| word.trim_end_matches(',').to_owned()).collect();
        match codes.iter().any(|code| code == "any") {
            true => Err(self.wrong("any", "laws and countries, or `any` alone")),
            false => Ok(codes),
        }
    }

    /// `Paris 70% New York 30%`, with or without commas between them; `Paris` for all users; `none`.
    fn users(&self, words: &[&str], places: &FindPlace<'_>) -> Result<Vec<Users>, ChangeError> {
        if words == ["none"] {
            return Ok(Vec::new());
        }
        let is_share = |word: &&&str| word.trim_end_matches(',').ends_with('%');
        let all = words.iter().find(is_share).is_none().then_some(&"100%");
        let (mut users, mut name, mut sum) = (Vec::new(), Vec::new(), 0.0);
        for word in words.iter().chain(all) {
            if !is_share(&word) {
                name.push(*word);
                continue;
            }
            let place = name.join(" ").trim_end_matches(',').to_owned();
            let percent = self.share(word.trim_end_matches(','))?;
            if place.is_empty() {
                return Err(self.wrong(word, "a place before its share, such as `Paris 70%`"));
            }
            let (north, east) = places(&place).map_err(|expected| self.wrong(&place, expected))?;
            users.push(Users { place, north, east, share: percent / 100.0 });
            sum += percent;
            name.clear();
        }
        if !name.is_empty() {
            return Err(self.wrong(&name.join(" "), "the share of the users after the place, such as `30%`"));
        }
        if (sum - 100.0).abs() > ROUNDED + 1e-9 {
            return Err(self.wrong(&format!("{sum}%"), "shares that come to 100% together"));
        }
        Ok(users)
    }

    fn share(&self, word: &str) -> Result<f64, ChangeError> {
        let digits =
            word.strip_suffix('%').filter(|text| text.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
        let percent = digits.and_then(|digits| digits.parse::<f64>().ok());
        let percent = percent.filter(|percent| *percent > 0.0 && *percent <= 100.0);
        percent.ok_or_else(|| self.wrong(word, "a share above 0% and at most 100%"))
    }

    fn survived(&self, words: &[&str]) -> Result<Vec<Scope>, ChangeError> {
        if words == ["nothing"] {
            return Ok(Vec::new());
        }
        let scope = |word: &&str| match *word {
            "zone" | "node" => self.scope(word),
            _ => Err(self.wrong(word, "`zone`, `node` or `nothing`")),
        };
        words.iter().map(scope).collect()
    }
}

impl Change {
    /// Leaves something out: `zone` or `node`, then its loss need not be survived, or a service or database by its name.
    #[must_use]
    pub fn without(what: &str) -> Change {
        let text = format!("without {what}");
        let what = match what {
            "zone" => What::WithoutLossOf(Scope::Zone),
            "node" => What::WithoutLossOf(Scope::Node),
            name => What::WithoutPart(name.to_owned()),
        };
        Change { text, what }
    }

    /// Makes the change.
    ///
    /// # Errors
    /// [`ChangeError::Nothing`] when the file has nothing of that kind or name.
    pub fn make(&self, app: &mut App, options: &mut Options, terms: &mut Terms) -> Result<(), ChangeError> {
        let objectives = &mut app.objectives;
        match &self.what {
            What::Load(of, by) => return self.load(app, of, *by),
            What::Writes(of, by) => return self.writes(app, of, *by),
            What::Storage(of, by) => return self.storage(app, of, *by),
            What::Prices(of, factor) => return self.prices(options, of, *factor),
            What::Availability(asked) => objectives.availability = *asked,
            What::Budget(budget) => objectives.budget = *budget,
            What::Survive(scopes) => {
                objectives.survive.clone_from(scopes);
                // Said to be nothing is not the same as not said.
                objectives.survive_nothing = scopes.is_empty();
            }
            What::Recovery { time, scope, asked } => {
                *of_scope(if *time { &mut objectives.rto } else { &mut objectives.rpo }, *scope) = *asked;
            }
            What::ScaleMax(of, max) => return self.scale_max(app, of, *max),
            What::Standbys(of, standbys) => return self.standbys(app, of, *standbys),
            What::Managed(of, managed) => return self.managed(app, of, *managed),
            What::Replicas(of, replicas) => {
                return self.cache(app, of, "replicas", |cache| cache.replicas = *replicas);
            }
            What::Memory(of, by) => {
                return self.cache(app, of, "memory", |cache| cache.memory = resized(*by, cache.memory));
            }
            What::Loss(of, loss) => return self.cache(app, of, "loss", |cache| cache.loss = *loss),
            What::Zones(zones) => app.placement.zones = *zones,
            What::Machines(sharing) => app.placement.machines = Some(*sharing),
            What::Residency(codes) => return self.residency(app, options, codes),
            What::Users(users) => {
                self.in_a_cloud(options)?;
                app.placement.users.clone_from(users);
            }
            What::Assume(name, value) => drop(app.assume.insert(name.clone(), *value)),
            What::WithoutLossOf(scope) => return self.without_loss_of(app, terms, *scope),
            What::WithoutPart(name) => return self.without_part(app, name),
        }
        Ok(())
    }

    fn nothing(&self, why: impl Into<String>) -> ChangeError {
        ChangeError::Nothing { text: self.text.clone(), why: why.into() }
    }

    /// When nothing was changed: there is none of that name, or none at all that says so.
    fn changed(&self, count: usize, of: &Of, kind: &str, key: &str) -> Result<(), ChangeError> {
        match (count, of) {
            (0, Some(name)) => {
                Err(self.nothing(format!("there is no {kind} `{name}` with `{key}` in the file")))
            }
            (0, None) => Err(self.nothing(format!("no {kind} of the file says its `{key}`"))),
            _ => Ok(()),
        }
    }

    fn load(&self, app: &mut App, of: &Of, by: By<Rate>) -> Result<(), ChangeError> {
        let mut count = 0;
        for service in app.services.iter_mut().filter(|one| is(of, one.name.as_str())) {
            let Some(load) = &mut service.load else { continue };
            let factor = match by {
                By::Factor(factor) => factor,
                By::To(to) => to.0 / load.peak.0,
            };
            load.peak = scaled(by, load.peak);
            // From a peak of nothing no share can be kept.
            load.mean = load.mean.map(|mean| Rate(mean.0 * factor)).filter(|mean| mean.0.is_finite());
            count += 1;
        }
        self.changed(count, of, "service", "load")?;
        // Twice the users write twice as much.
        match (of, by) {
            (None, By::Factor(_)) => {
                for writes in app.databases.iter_mut().filter_map(|database| database.writes.as_mut()) {
                    *writes = scaled(by, *writes);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn writes(&self, app: &mut App, of: &Of, by: By<Rate>) -> Result<(), ChangeError> {
        let mut count = 0;
        for database in app.databases.iter_mut().filter(|one| is(of, one.name.as_str())) {
            database.writes = match (by, database.writes) {
                (By::To(to), _) => Some(to),
                (By::Factor(_), Some(writes)) => Some(scaled(by, writes)),
                (By::Factor(_), None) => continue,
            };
            count += 1;
        }
        self.changed(count, of, "database", "writes")
    }

    fn storage(&self, app: &mut App, of: &Of, by: By<Bytes>) -> Result<(), ChangeError> {
        let mut count = 0;
        for database in app.databases.iter_mut().filter(|one| is(of, one.name.as_str())) {
            database.storage = resized(by, database.storage);
            count += 1;
        }
        self.changed(count, of, "database", "storage")
    }

    fn cache(
        &self,
        app: &mut App,
        of: &Of,
        key: &str,
        change: impl Fn(&mut Cache),
    ) -> Result<(), ChangeError> {
        let mut count = 0;
        for cache in app.caches.iter_mut().filter(|one| is(of, one.name.as_str())) {
            change(cache);
            count += 1;
        }
        self.changed(count, of, "cache", key)
    }

    /// Where data may be kept. A code that no region has would leave out everything, and is taken for a mistake as in the file.
    fn residency(&self, app: &mut App, options: &Options, codes: &[String]) -> Result<(), ChangeError> {
        self.in_a_cloud(options)?;
        let regions = options.catalog.regions.iter().chain(&options.catalog.unpriced);
        let known: BTreeSet<&str> = regions.flat_map(|offer| [&*offer.residency, &*offer.country]).collect();
        if let Some(code) = codes.iter().find(|code| !known.contains(code.as_str())) {
            let meant = known.iter().find(|known| known.eq_ignore_ascii_case(code));
            let expected = match meant {
                Some(meant) => format!("`{meant}`"),
                None => {
                    let all: Vec<&str> = known.into_iter().collect();
                    format!("`any`, or a law or country that has a region: {}", all.join(" "))
                }
            };
            let (text, part) = (self.text.clone(), code.clone());
            return Err(ChangeError::Value { text, part, expected });
        }
        app.placement.residency = codes.to_vec();
        Ok(())
    }

    /// Where this machine is, and how far from whom, is not known.
    fn in_a_cloud(&self, options: &Options) -> Result<(), ChangeError> {
        match options.catalog.regions.is_empty() {
            true => {
                Err(self.nothing("where this machine is, is not known (`--provider aws` plans for a cloud)"))
            }
            false => Ok(()),
        }
    }

    fn prices(&self, options: &mut Options, of: &Of, factor: f64) -> Result<(), ChangeError> {
        let mut count = 0;
        for offer in options.catalog.regions.iter_mut().filter(|offer| is(of, &offer.provider)) {
            offer.reprice(&|price| price.usd *= factor);
            count += 1;
        }
        match (count, of) {
            (0, Some(name)) => Err(self.nothing(format!("the catalogue has no provider `{name}`"))),
            (0, None) => {
                Err(self.nothing("nothing is bought for this machine (`--provider aws` plans for a cloud)"))
            }
            _ => Ok(()),
        }
    }

    fn scale_max(&self, app: &mut App, of: &Of, max: u32) -> Result<(), ChangeError> {
        let mut count = 0;
        for service in app.services.iter_mut().filter(|one| is(of, one.name.as_str())) {
            service.scale.max = max;
            count += 1;
        }
        self.changed(count, of, "service", "scale")
    }

    fn standbys(&self, app: &mut App, of: &Of, standbys: Option<u8>) -> Result<(), ChangeError> {
        let mut count = 0;
        let own = |one: &&mut model::Database| one.managed != Managed::Yes;
        for database in app.databases.iter_mut().filter(|one| is(of, one.name.as_str())).filter(own) {
            // A witness is the third vote of two copies; with more it is one of them.
            database.witness = database.witness && standbys == Some(1);
            database.auto = standbys.is_none();
            database.standbys = standbys.unwrap_or(database.standbys);
            count += 1;
        }
        self.changed(count, of, "database", "standbys")
    }

    fn managed(&self, app: &mut App, of: &Of, managed: Managed) -> Result<(), ChangeError> {
        let mut count = 0;
        for database in app.databases.iter_mut().filter(|one| is(of, one.name.as_str())) {
            database.managed = managed;
            // A provider's has a copy, and no witness.
            database.witness &= managed != Managed::Yes;
            count += 1;
        }
        self.changed(count, of, "database", "run_by")
    }

    fn without_loss_of(&self, app: &mut App, terms: &mut Terms, scope: Scope) -> Result<(), ChangeError> {
        let by_default = scope == Scope::Zone && size::reserves_by_default(app);
        let objectives = &mut app.objectives;
        let asked = objectives.survive.contains(&scope);
        objectives.survive.retain(|survived| *survived != scope);
        let times =
            [of_scope(&mut objectives.rto, scope).take(), of_scope(&mut objectives.rpo, scope).take()];
        // With nothing left in `survive` the reserve for a zone would come back by default.
        terms.unreserved |= asked || by_default;
        if asked || by_default || times.iter().any(Option::is_some) {
            return Ok(());
        }
        let word = if scope == Scope::Zone { "zone" } else { "node" };
        Err(self.nothing(format!("nothing in the file asks that the loss of a {word} is survived")))
    }

    fn without_part(&self, app: &mut App, name: &str) -> Result<(), ChangeError> {
        let services = app.services.iter().map(|service| service.name.as_str());
        let databases = app.databases.iter().map(|database| database.name.as_str());
        let caches = app.caches.iter().map(|cache| cache.name.as_str());
        let known: Vec<&str> = services.chain(databases).chain(caches).collect();
        let (before, known) = (known.len(), known.join("`, `"));
        app.services.retain(|service| service.name.as_str() != name);
        app.databases.retain(|database| database.name.as_str() != name);
        app.caches.retain(|cache| cache.name.as_str() != name);
        app.ingress.retain(|entry| entry.to.as_str() != name);
        if app.services.is_empty() {
            return Err(self.nothing("it is the only service of the file"));
        }
        if app.services.len() + app.databases.len() + app.caches.len() == before {
            let why = format!(
                "there is no service, database or cache `{name}` in the file; there are `{known}`, and `zone` and `node` leave out what their loss asks for"
            );
            return Err(self.nothing(why));
        }
        Ok(())
    }
}

fn is(of: &Of, name: &str) -> bool {
    of.as_ref().is_none_or(|of| of == name)
}

fn resized(by: By<Bytes>, size: Bytes) -> Bytes {
    match by {
        By::Factor(factor) => Bytes((size.0 as f64 * factor).round() as u64),
        By::To(to) => to,
    }
}

fn scaled(by: By<Rate>, rate: Rate) -> Rate {
    match by {
        By::Factor(factor) => Rate(rate.0 * factor),
        By::To(to) => to,
    }
}

fn of_scope(per: &mut PerScope, scope: Scope) -> &mut Option<Duration> {
    match scope {
        Scope::Node => &mut per.node,
        Scope::Zone => &mut per.zone,
        Scope::Region => &mut per.region,
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
pub(crate) mod tests;
