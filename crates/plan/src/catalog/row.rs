//! Fields of a row, and what is taken for one.

/// USD/hour above which a price is taken for a mistake; the dearest machine of 2026 costs about 260.
const USD_MAX: f64 = 10_000.0;

/// vCPUs above which a size is taken for a mistake; the largest of 2026 has 1,920.
const VCPU_MAX: u32 = 20_000;

/// GiB above which a size is taken for a mistake; the largest of 2026 has 32,768.
const GIB_MAX: f64 = 350_000.0;

/// CoreMark of a machine above which a figure is taken for a mistake: every one of the most vCPUs at twice the fastest.
const COREMARK_MAX: f64 = 2e9;

/// Bytes of a name.
const NAME_MAX: usize = 80;

/// Plain decimal digits with a point: no sign, exponent, `inf` or `nan`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.len() <= 24 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse::<f64>().ok()).flatten().filter(|number| number.is_finite())
}

/// US dollars above 0, for machines.
pub(super) fn usd(text: &str) -> Result<f64, String> {
    let usd = decimal(text).filter(|usd| *usd > 0.0 && *usd <= USD_MAX);
    usd.ok_or_else(|| format!("`{text}` is no price above 0 and up to {USD_MAX} USD"))
}

/// US dollars from 0, for traffic and the like.
pub(super) fn usd_or_free(text: &str) -> Result<f64, String> {
    let usd = decimal(text).filter(|usd| *usd <= USD_MAX);
    usd.ok_or_else(|| format!("`{text}` is no price from 0 to {USD_MAX} USD"))
}

pub(super) fn vcpu(text: &str) -> Result<u32, String> {
    let count = text.parse::<u32>().ok().filter(|count| (1..=VCPU_MAX).contains(count));
    count
        .filter(|_| !text.starts_with('+'))
        .ok_or_else(|| format!("`{text}` is no number of vCPUs from 1 to {VCPU_MAX}"))
}

pub(super) fn gib(text: &str) -> Result<f64, String> {
    let gib = decimal(text).filter(|gib| *gib > 0.0 && *gib <= GIB_MAX);
    gib.ok_or_else(|| format!("`{text}` is no memory above 0 and up to {GIB_MAX} GiB"))
}

pub(super) fn coremark(text: &str) -> Result<f64, String> {
    let figure = decimal(text).filter(|figure| *figure > 0.0 && *figure <= COREMARK_MAX);
    figure.ok_or_else(|| format!("`{text}` is no CoreMark above 0 and up to {COREMARK_MAX}"))
}

/// Degrees up to `most` on either side.
pub(super) fn degrees(text: &str, most: f64) -> Result<f64, String> {
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let degrees = decimal(text.strip_prefix('-').unwrap_or(text)).filter(|degrees| *degrees <= most);
    degrees.map(|degrees| sign * degrees).ok_or_else(|| format!("`{text}` is no angle up to {most} degrees"))
}

/// A name of a type, region, CPU and so on: letters, digits, `.`, `-`, `_`, `+`.
pub(super) fn name<'t>(text: &'t str, what: &str) -> Result<&'t str, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_+".contains(&b);
    let good = !text.is_empty() && text.len() <= NAME_MAX && text.bytes().all(plain);
    good.then_some(text).ok_or_else(|| format!("`{text}` is no name of a {what}"))
}

/// Words for people: printable, not too long, not empty.
pub(super) fn words<'t>(text: &'t str, what: &str) -> Result<&'t str, String> {
    let good = !text.trim().is_empty() && text.len() <= 300 && !text.chars().any(char::is_control);
    good.then_some(text).ok_or_else(|| format!("`{}` is no {what}", text.escape_debug()))
}

/// As many fields as there must be.
pub(super) fn fields<const N: usize>(text: &str) -> Result<[&str; N], String> {
    let fields: Vec<&str> = text.split(',').collect();
    let count = fields.len();
    fields.try_into().map_err(|_| format!("{count} columns instead of {N}"))
}

/// The fields of a line. By bytes: most are shorter than what a search for a character costs to set up.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.bytes().position(|b| b == b',');
        let (field, after) = match end {
            Some(end) => (&text[..end], Some(&text[end + 1..])),
            None => (text, None),
        };
        rest = after;
        Some(field)
    })
}
