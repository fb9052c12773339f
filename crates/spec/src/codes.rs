//! One constant a code; its page in `docs/errors` is part of it, so that no code can be without one.

/// A code a person can look up.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) id: &'static str,
    pub(crate) page: &'static str,
}

macro_rules! codes {
    ($($name:ident = $id:literal,)*) => {
        $(pub(crate) static $name: Code =
            Code { id: $id, page: include_str!(concat!("../../../docs/errors/", $id, ".md")) };)*

        /// Every code.
        pub(crate) static ALL: &[&Code] = &[$(&$name,)*];
    };
}

codes! {
    SYNTAX = "E0001",
    ENCODING = "E0002",
    TOO_LARGE = "E0003",
    TOO_DEEP = "E0004",
    ALIAS = "E0005",
    TAG = "E0006",
    DOCUMENTS = "E0007",
    MERGE_KEY = "E0008",
    DUPLICATE_KEY = "E0009",
    KEY_KIND = "E0010",
    NOT_A_TABLE = "E0011",
    MORE = "E0012",
    UNKNOWN_KEY = "E0101",
    MISSING_KEY = "E0102",
    WRONG_TYPE = "E0103",
    BAD_QUANTITY = "E0104",
    NOT_ONE_OF = "E0105",
    BAD_FORM = "E0106",
    OUT_OF_RANGE = "E0107",
    YES_NO = "E0108",
    NUMBER_FORM = "E0109",
    BAD_TEMPLATE = "E0110",
    EMPTY_VALUE = "E0111",
    FOREIGN_KEY = "E0112",
    REPEATED = "E0113",
    UNKNOWN_NAME = "E0201",
    COMMAND_OR_IMAGE = "E0202",
    ORDER = "E0203",
    MAX_UNAVAILABLE = "E0204",
    SAME_INGRESS = "E0205",
    NO_PORT = "E0206",
    SURVIVE = "E0207",
    SECRET_IN_COMMAND = "E0208",
    ENGINE_VERSION = "E0209",
    NAME_TAKEN = "E0210",
    WITNESS = "E0211",
    REGION = "E0212",
    RESIDENCY = "E0213",
    PLACE = "E0214",
    SHARES = "E0215",
    MANAGED = "E0216",
    SLOW_PROBE = "W0301",
    LATER_VARIABLE = "W0302",
    IMAGE = "W0303",
    ONE_STANDBY = "W0304",
    NEVER_BLOCKS = "W0305",
    NOT_RUN = "N0401",
}

/// The page of a code, in Markdown; the case of the letter does not matter.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    ALL.iter().find(|known| known.id.eq_ignore_ascii_case(code)).map(|known| known.page)
}

/// Every code there is, in order.
pub fn codes() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|code| code.id)
}
