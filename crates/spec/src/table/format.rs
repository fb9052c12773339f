//! What a text of the file may look like: as a check, as a pattern for editors, and in words.

use crate::field::Format;

/// A name of a service, database, cache, job or volume.
pub(crate) static NAME: Format = Format {
    what: "a name: lower-case letters, digits and `-`, at most 63, beginning and ending with a letter or digit",
    pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    max: 63,
    check: |text| model::ServiceName::new(text).is_ok(),
};

/// A name of a database: its nodes are called `NAME-1` to `NAME-5`, which must be names too.
pub(super) static DATABASE_NAME: Format = Format {
    what: "a name: lower-case letters, digits and `-`, at most 61, beginning and ending with a letter or digit",
    pattern: "^[a-z0-9]([a-z0-9-]{0,59}[a-z0-9])?$",
    max: 61,
    check: |text| model::DatabaseName::new(text).is_ok(),
};

pub(super) static VARIABLE: Format = Format {
    what: "the name of a variable: letters, digits and `_`, not beginning with a digit",
    pattern: "^[A-Za-z_][A-Za-z0-9_]*$",
    max: 128,
    check: |text| {
        text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    },
};

pub(super) static REGION: Format = Format {
    what: "a region such as `eu-central`, or a provider's own id",
    pattern: "^[a-z][a-z0-9-]*[a-z0-9]$",
    max: 64,
    check: |text| {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.len() > 1
            && !text.ends_with('-')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    },
};

pub(super) static COUNTRY: Format = Format {
    what: "two capital letters such as `DE`, or `EU`",
    pattern: "^[A-Z]{2}$",
    max: 2,
    check: |text| text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()),
};

pub(super) static PLACE: Format = Format {
    what: "the name of a place",
    pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
    max: 100,
    check: |text| !text.is_empty() && !text.chars().any(char::is_control),
};

pub(super) static IMAGE: Format = Format {
    what: "an image such as `ghcr.io/acme/shop:1.8.2`",
    pattern: "^[A-Za-z0-9][A-Za-z0-9._/:@-]*$",
    max: 255,
    check: |text| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/:@-".contains(&b))
    },
};

pub(super) static HTTP_PATH: Format = Format {
    what: "a path that begins with `/`, such as `/healthz`",
    pattern: "^/[!\"$-~]*$",
    max: 1_024,
    check: |text| text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#'),
};

pub(super) static HOST: Format = Format {
    what: "a host name such as `shop.example.com`, without a port and without `*`",
    pattern: "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$",
    max: 253,
    check: |text| text.split('.').all(|label| model::ServiceName::new(&label.to_ascii_lowercase()).is_ok()),
};

pub(super) static CRON: Format = Format {
    what: "five fields (minute, hour, day, month, weekday) such as `0 7 * * mon-fri`",
    pattern: "^[0-9A-Za-z*/,-]+( +[0-9A-Za-z*/,-]+){4}$",
    max: 100,
    check: |text| {
        let good = |field: &str| field.bytes().all(|b| b.is_ascii_alphanumeric() || b"*/,-".contains(&b));
        let fields: Vec<&str> = text.split(' ').filter(|field| !field.is_empty()).collect();
        fields.len() == 5 && fields.iter().all(|field| good(field)) && text.trim() == text
    },
};

pub(super) static TIMEZONE: Format = Format {
    what: "a time zone such as `Europe/Berlin` or `UTC`",
    pattern: "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$",
    max: 64,
    check: |text| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.split('/').all(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
            })
    },
};

pub(super) static POSTGRES: Format = Format {
    what: "a database engine with its major version, such as `postgres:15`",
    pattern: "^postgres:[1-9][0-9]?$",
    max: 11,
    check: |text| text.strip_prefix("postgres:").is_some_and(is_major),
};

pub(super) static REDIS: Format = Format {
    what: "a cache engine with its major version, such as `redis:7` or `valkey:8`",
    pattern: "^(redis|valkey):[1-9][0-9]?$",
    max: 9,
    check: |text| text.strip_prefix("redis:").or_else(|| text.strip_prefix("valkey:")).is_some_and(is_major),
};

fn is_major(text: &str) -> bool {
    (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0')
}
