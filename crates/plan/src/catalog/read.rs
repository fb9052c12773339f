//! From rows to what they say, section by section.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::age::is_date;
use super::build::{self, Advice, Build, Cell, Cpu, Draft, Family, Row, TAKEN_BACK};
use super::kind::{self, Architecture, Class};
use super::row;
use super::section::{Kind, Line, Section};
use super::{Coordinates, Price, RegionOffer, Source, Unit};

/// Reads one section into `build`; what is wrong is noted there.
pub(super) fn section(build: &mut Build, section: &Section<'_>) {
    if section.rows.is_empty() {
        build.wrong(section.head, "this section has no row".to_owned());
    }
    if section.kind >= Kind::Machines {
        return matrix(build, section);
    }
    for line in &section.rows {
        let read = match section.kind {
            Kind::Sources => source(build, line.text),
            Kind::Cpus => cpu(build, line.text),
            Kind::Performance => band(build, line.text),
            Kind::CoreMark => coremark(build, line.text, section),
            Kind::Families => family(build, line.text),
            Kind::Regions => region(build, line.text),
            _ => unit(build, line.text),
        };
        if let Err(what) = read
            && !build.wrong(*line, what)
        {
            return;
        }
    }
}

/// Notes a key of this layer, and refuses it the second time.
fn once(build: &mut Build, section: &str, key: &str) -> Result<(), String> {
    let is_new = build.seen.insert(format!("{section} {key}"));
    if is_new { Ok(()) } else { Err(format!("`{key}` is there twice")) }
}

fn source(build: &mut Build, text: &str) -> Result<(), String> {
    let [id, kind, date, licence, document] = row::fields(text)?;
    row::name(id, "source")?;
    if !["read", "derived", "assumed"].contains(&kind) {
        return Err(format!("`{kind}` is no kind of source; it is `read`, `derived` or `assumed`"));
    }
    if !is_date(date) {
        return Err(format!("`{date}` is no date such as 2026-11 or 2026-11-28"));
    }
    let (licence, document) = (row::words(licence, "licence")?, row::words(document, "document")?);
    once(build, "source", id)?;
    let source = Source {
        id: id.to_owned(),
        assumed: kind == "assumed",
        date: date.to_owned(),
        licence: licence.to_owned(),
        document: document.to_owned(),
    };
    build.own.insert(id.to_owned());
    build.sources.insert(id.to_owned(), Arc::new(source));
    Ok(())
}

fn cpu(build: &mut Build, text: &str) -> Result<(), String> {
    let [id, architecture, name, _like, _low, _mid, _high, source] = row::fields(text)?;
    row::name(id, "CPU")?;
    row::words(name, "name")?;
    build.source(source, false)?;
    let architecture = Architecture::named(architecture)
        .ok_or_else(|| format!("`{architecture}` is no architecture; it is `x86-64` or `arm64`"))?;
    once(build, "CPU", id)?;
    let band = build.cpus.get(id).and_then(|known| known.band);
    build.cpus.insert(id.to_owned(), Cpu { architecture, band });
    Ok(())
}

fn band(build: &mut Build, text: &str) -> Result<(), String> {
    let [id, low, mid, high, types] = row::fields(text)?;
    let band = [row::coremark(low)?, row::coremark(mid)?, row::coremark(high)?];
    types.parse::<u32>().map_err(|_| format!("`{types}` is no number of types"))?;
    if !(band[0] <= band[1] && band[1] <= band[2]) {
        return Err(format!("low, mid and high of `{id}` are not in order"));
    }
    once(build, "band of", id)?;
    let cpu = build.cpus.get_mut(id).ok_or_else(|| format!("`{id}` is no CPU of `[cpus]`"))?;
    cpu.band = Some(band);
    Ok(())
}

fn coremark(build: &mut Build, text: &str, section: &Section<'_>) -> Result<(), String> {
    let [kind, threads, figure, date] = row::fields(text)?;
    row::name(kind, "type")?;
    row::vcpu(threads)?;
    let figure = row::coremark(figure)?;
    if !is_date(date) {
        return Err(format!("`{date}` is no date such as 2026-11 or 2026-11-28"));
    }
    build.source(section.source, true)?;
    once(build, "CoreMark of", kind)?;
    build.coremark.insert((section.provider.to_owned(), kind.to_owned()), figure);
    Ok(())
}

fn family(build: &mut Build, text: &str) -> Result<(), String> {
    let [provider, family, cpus, class, source] = row::fields(text)?;
    row::name(provider, "provider")?;
    row::name(family, "family")?;
    build.source(source, false)?;
    let class = Class::named(class).ok_or_else(|| format!("`{class}` is no kind of family"))?;
    let mut architecture = None;
    for id in cpus.split('+') {
        let cpu = build.cpus.get(id).ok_or_else(|| format!("`{id}` is no CPU of `[cpus]`"))?;
        if cpu.band.is_none() {
            return Err(format!("`{id}` has no line in `[performance]`"));
        }
        if *architecture.get_or_insert(cpu.architecture) != cpu.architecture {
            return Err(format!("the CPUs `{cpus}` are not of one architecture"));
        }
    }
    once(build, "family", &format!("{provider} {family}"))?;
    build.families.insert((provider.to_owned(), family.to_owned()), Family { class, cpu: cpus.into() });
    Ok(())
}

fn region(build: &mut Build, text: &str) -> Result<(), String> {
    let [provider, region, place, name, country, residency, zones, letters, source, north, east, closed] =
        row::fields(text)?;
    row::name(provider, "provider")?;
    row::name(region, "region")?;
    row::name(place, "place")?;
    let code = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase());
    if !code(country) || !code(residency) {
        return Err(format!("`{country}` and `{residency}` must be codes of two capital letters"));
    }
    if place.starts_with("eu-") != (residency == "EU") {
        return Err(format!(
            "`{place}` and `{residency}` disagree: places in the EU begin with `eu-`, and no others"
        ));
    }
    let zones = zones.parse::<u8>().ok().filter(|zones| (1..=crate::ZONES_MAX).contains(zones));
    let zones = zones.ok_or_else(|| format!("the zones must be from 1 to {}", crate::ZONES_MAX))?;
    let default: String = ('a'..='z').take(usize::from(zones)).collect();
    let letters = if letters.is_empty() { default } else { letters.to_owned() };
    if letters.len() != usize::from(zones) || !letters.bytes().all(|b| b.is_ascii_lowercase()) {
        return Err(format!("`{letters}` is not one letter for each of {zones} zones"));
    }
    let at = Coordinates { north: row::degrees(north, 90.0)?, east: row::degrees(east, 180.0)? };
    let closed = if closed.is_empty() { None } else { Some(row::words(closed, "reason")?.to_owned()) };
    once(build, "region", &format!("{provider} {region}"))?;
    let offer = RegionOffer {
        provider: provider.to_owned(),
        region: region.to_owned(),
        place: place.to_owned(),
        name: row::words(name, "name")?.to_owned(),
        country: country.to_owned(),
        residency: residency.to_owned(),
        zones,
        zones_source: build.source(source, false)?,
        letters,
        at,
        closed,
        machines: Vec::new(),
        caches: Vec::new(),
        units: BTreeMap::new(),
    };
    let key = (provider.to_owned(), region.to_owned());
    match build.regions.get_mut(&key) {
        Some(draft) => draft.offer = offer,
        None => {
            let draft = Draft { offer, machines: Vec::new(), caches: Vec::new(), spot: Vec::new() };
            build.regions.insert(key, draft);
        }
    }
    Ok(())
}

fn unit(build: &mut Build, text: &str) -> Result<(), String> {
    let [provider, region, unit, name, usd, source] = row::fields(text)?;
    let known = Unit::named(unit).ok_or_else(|| format!("`{unit}` is no unit"))?;
    let key = (provider.to_owned(), region.to_owned());
    let exists = match region {
        "*" => build.regions.keys().any(|(known, _)| known == provider),
        _ => build.regions.contains_key(&key),
    };
    if !exists {
        return Err(format!("{provider} {region} is no region of `[regions]`"));
    }
    let item = row::words(name, "name")?.into();
    let price = Price { item, usd: row::usd_or_free(usd)?, source: build.source(source, true)? };
    once(build, "unit", &format!("{provider} {region} {unit}"))?;
    build.units.insert((key.0, key.1, known), price);
    Ok(())
}

/// A section with a line a type and a column a region.
fn matrix(build: &mut Build, section: &Section<'_>) {
    let source = match build.source(section.source, true) {
        Ok(source) => source,
        Err(what) => {
            build.wrong(section.head, what);
            return;
        }
    };
    let kind = format!("{:?} {}", section.kind, section.provider);
    let mut drafts = Vec::with_capacity(section.regions.len());
    for region in &section.regions {
        let is_first = once(build, &kind, region).is_ok();
        // Several sources may add up to the machines of a region.
        if section.kind != Kind::Machines && !is_first {
            build.wrong(section.head, format!("`{region}` is there twice"));
        } else if let Err(what) = once(build, &format!("{kind} {}", section.source), region) {
            build.wrong(section.head, what);
        }
        let key = (section.provider.to_owned(), (*region).to_owned());
        match build.regions.remove_entry(&key) {
            // What this layer lists of a region is all there is.
            Some((key, mut draft)) => {
                match section.kind {
                    _ if !is_first => {}
                    Kind::Spot => draft.spot.clear(),
                    _ => build::cells(&mut draft, section.kind).clear(),
                }
                drafts.push((key, draft));
            }
            None => {
                build.wrong(
                    section.head,
                    format!("{} {region} is no region of `[regions]`", section.provider),
                );
            }
        }
    }
    if drafts.len() == section.regions.len() {
        let mut before = "";
        for line in &section.rows {
            let name = line.text.split(',').next().unwrap_or_default();
            let read = if name > before {
                match section.kind {
                    Kind::Spot => advice(*line, &source, &mut drafts),
                    _ => offers(build, *line, section, &source, &mut drafts),
                }
            } else {
                Err(format!("`{name}` is there twice, or out of order after `{before}`"))
            };
            before = name;
            if let Err(what) = read
                && !build.wrong(*line, what)
            {
                break;
            }
        }
    }
    build.regions.extend(drafts);
}

type Drafts = [((String, String), Draft)];

fn offers(
    build: &mut Build,
    line: Line<'_>,
    section: &Section<'_>,
    source: &Arc<Source>,
    drafts: &mut Drafts,
) -> Result<(), String> {
    let mut fields = row::split(line.text);
    let mut next = || fields.next().ok_or_else(|| "the line ends before its specs".to_owned());
    let name = row::name(next()?, "type")?;
    let (vcpu, mem_gib) = (row::vcpu(next()?)?, row::gib(next()?)?);
    let family = kind::family(section.provider, name).unwrap_or_default();
    if !build.families.contains_key(&(section.provider.to_owned(), family.to_owned())) {
        return Err(format!("the family `{family}` of `{name}` is not in `[families]`"));
    }
    let at = build.rows.len();
    build.rows.push(Row { provider: section.provider.to_owned(), name: name.into(), vcpu, mem_gib });
    let rows = &build.rows;
    each(fields, drafts, |draft, cell| {
        let (usd, spot) = match cell.split_once('/') {
            Some((usd, spot)) => (row::usd(usd)?, Some(row::usd(spot)?)),
            None => (row::usd(cell)?, None),
        };
        let cells = build::cells(draft, section.kind);
        let cell = Cell { row: at, usd, spot, source: Arc::clone(source) };
        let name_of = |cell: &Cell| rows[cell.row].name.as_ref();
        if cells.last().is_none_or(|last| name_of(last) < name) {
            cells.push(cell);
        } else {
            // In the order of names with what another source brought.
            match cells.binary_search_by(|known| name_of(known).cmp(name)) {
                Ok(_) => return Err(format!("`{name}` is in another section, too")),
                Err(at) => cells.insert(at, cell),
            }
        }
        Ok(())
    })
}

fn advice(line: Line<'_>, source: &Arc<Source>, drafts: &mut Drafts) -> Result<(), String> {
    let mut fields = row::split(line.text);
    let name: Arc<str> = row::name(fields.next().unwrap_or_default(), "type")?.into();
    each(fields, drafts, |draft, cell| {
        let read = cell.split_once('/').and_then(|(band, saving)| {
            let band = band.parse::<usize>().ok().filter(|band| *band < TAKEN_BACK.len())?;
            // A saving below 0: spot is dearer than on demand.
            let saving = saving.parse::<i32>().ok().filter(|percent| (-100..100).contains(percent))?;
            Some((band, f64::from(100 - saving) / 100.0))
        });
        let (band, left) =
            read.ok_or_else(|| format!("`{cell}` is no band and saving in per cent such as `1/61`"))?;
        draft.spot.push(Advice { kind: Arc::clone(&name), band, left, source: Arc::clone(source) });
        Ok(())
    })
}

/// Hands every cell that is not empty to `take`, with its region.
fn each<'t>(
    cells: impl Iterator<Item = &'t str>,
    drafts: &mut Drafts,
    mut take: impl FnMut(&mut Draft, &str) -> Result<(), String>,
) -> Result<(), String> {
    let (mut count, wanted) = (0, drafts.len());
    for cell in cells {
        if let Some((_, draft)) = drafts.get_mut(count)
            && !cell.is_empty()
        {
            take(draft, cell)?;
        }
        count += 1;
    }
    if count == wanted { Ok(()) } else { Err(format!("{count} cells for {wanted} regions")) }
}
