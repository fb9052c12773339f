//! A text cut into its sections.

use super::{CatalogError, ERRORS_MAX, TEXT_BYTES_MAX};

/// What a section holds, in the order in which sections are read: each needs the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Sources,
    Cpus,
    Performance,
    CoreMark,
    Families,
    Regions,
    Units,
    Machines,
    Caches,
    Spot,
}

/// Name in the files, whether a provider and a source follow it, and the columns; the last three may be followed by regions.
const FORMS: &[(&str, Kind, bool, &str)] = &[
    ("sources", Kind::Sources, false, "id,kind,date,licence,document"),
    ("cpus", Kind::Cpus, false, "cpu,architecture,name,like,low,mid,high,source"),
    ("performance", Kind::Performance, false, "cpu,low,mid,high,types"),
    ("coremark", Kind::CoreMark, true, "type,threads,iterations_s,date"),
    ("families", Kind::Families, false, "provider,family,cpu,kind,source"),
    (
        "regions",
        Kind::Regions,
        false,
        "provider,region,place,name,country,residency,zones,letters,source,latitude,longitude,closed",
    ),
    ("units", Kind::Units, false, "provider,region,unit,name,usd,source"),
    ("machines", Kind::Machines, true, "type,vcpu,mem_gib"),
    ("caches", Kind::Caches, true, "type,vcpu,mem_gib"),
    ("spot", Kind::Spot, true, "type"),
];

/// One line.
#[derive(Clone, Copy)]
pub(super) struct Line<'t> {
    pub file: &'t str,
    /// From 1.
    pub number: usize,
    pub text: &'t str,
}

impl Line<'_> {
    pub fn wrong(&self, what: impl Into<String>) -> CatalogError {
        CatalogError { file: self.file.to_owned(), line: self.number, what: what.into() }
    }
}

/// One section.
pub(super) struct Section<'t> {
    pub kind: Kind,
    /// Empty where the rows name it.
    pub provider: &'t str,
    /// Id of the source; empty where the rows name it.
    pub source: &'t str,
    /// Line with the `[KIND ..]`.
    pub head: Line<'t>,
    /// The regions among the columns.
    pub regions: Vec<&'t str>,
    pub rows: Vec<Line<'t>>,
}

/// Cuts `text` into sections.
pub(super) fn sections<'t>(file: &'t str, text: &'t str, errors: &mut Vec<CatalogError>) -> Vec<Section<'t>> {
    let mut found: Vec<Section<'t>> = Vec::new();
    let mut last = Line { file, number: 1, text: "" };
    if text.len() > TEXT_BYTES_MAX {
        errors.push(last.wrong(format!("the file has more than {TEXT_BYTES_MAX} bytes")));
        return found;
    }
    // Columns are due: what they must begin with.
    let mut due: Option<&str> = None;
    // Lines of a section that was not understood say nothing.
    let mut is_lost = false;
    for (index, text) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = Line { file, number: index + 1, text };
        if errors.len() >= ERRORS_MAX {
            return found;
        }
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        last = line;
        if let Some(columns) = due.take() {
            if let Some(section) = found.last_mut()
                && let Err(error) = header(section, line, columns)
            {
                errors.push(error);
            }
        } else if text.starts_with('[') {
            is_lost = false;
            match begin(line) {
                Ok((section, columns)) => {
                    found.push(section);
                    due = Some(columns);
                }
                Err(error) => {
                    is_lost = true;
                    errors.push(error);
                }
            }
        } else if is_lost {
            continue;
        } else if let Some(section) = found.last_mut() {
            section.rows.push(line);
        } else {
            errors.push(line.wrong("this line is in no section; `[machines aws SOURCE]` begins one"));
            return found;
        }
    }
    if due.is_some() {
        errors.push(last.wrong("the columns of this section are missing"));
    }
    if found.is_empty() && errors.is_empty() {
        errors.push(last.wrong("the file has no section; `[machines aws SOURCE]` begins one"));
    }
    found
}

fn begin(line: Line<'_>) -> Result<(Section<'_>, &'static str), CatalogError> {
    let inside = line.text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let words: Vec<&str> = inside.unwrap_or_default().split(' ').collect();
    let form = FORMS.iter().find(|(name, ..)| *name == words[0]);
    let Some((name, kind, has_provider, columns)) = form else {
        let known: Vec<&str> = FORMS.iter().map(|(name, ..)| *name).collect();
        return Err(line.wrong(format!("`{}` begins no section; known are {}", line.text, known.join(" "))));
    };
    let (provider, source) = match (&words[1..], has_provider) {
        ([], false) => ("", ""),
        (&[provider, source], true) => (provider, source),
        (_, false) => {
            return Err(line.wrong(format!("it is `[{name}]` alone; its rows name provider and source")));
        }
        (_, true) => return Err(line.wrong(format!("it must be `[{name} PROVIDER SOURCE]`"))),
    };
    Ok((
        Section { kind: *kind, provider, source, head: line, regions: Vec::new(), rows: Vec::new() },
        columns,
    ))
}

fn header<'t>(section: &mut Section<'t>, line: Line<'t>, columns: &str) -> Result<(), CatalogError> {
    let rest = line.text.strip_prefix(columns);
    if section.kind < Kind::Machines {
        let same = rest.is_some_and(str::is_empty);
        return if same { Ok(()) } else { Err(line.wrong(format!("the columns must be `{columns}`"))) };
    }
    let Some(regions) = rest.and_then(|rest| rest.strip_prefix(',')) else {
        return Err(line.wrong(format!("the columns must be `{columns}` and then regions")));
    };
    section.regions = regions.split(',').collect();
    Ok(())
}
