/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChanceError {
    /// A number makes no sense where it stands.
    #[error("{what} is {value}; it must be {rule}")]
    Absurd {
        /// Which value.
        what: String,
        /// What it is.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// More states, steps or nodes than are computed, so that no input can hang or eat the memory.
    #[error("{what} would need more than {limit}; {way_out}")]
    TooLarge {
        /// What was to be computed.
        what: String,
        /// How many there may be, and of what.
        limit: String,
        /// What to do instead.
        way_out: &'static str,
    },
    /// A chain with no single long run: some state cannot get back to the first one.
    #[error("state {state} of a chain never leads back to its start, so its long run has no one answer")]
    NoReturn {
        /// The first such state, counted from 0 in the order of discovery.
        state: usize,
    },
    /// The iteration ended before it was exact enough.
    #[error(
        "the long run of {states} states did not settle in {sweeps} sweeps; relative error about {error:e}"
    )]
    Unsettled {
        /// States of the chain.
        states: usize,
        /// Sweeps that were made.
        sweeps: usize,
        /// Estimated largest relative error of a probability.
        error: f64,
    },
    /// A name that stands for nothing.
    #[error("no {kind} `{name}`; known are {known}")]
    Unknown {
        /// What was looked for, such as `prior`.
        kind: &'static str,
        /// The name that was given.
        name: String,
        /// The names that would be right.
        known: String,
    },
}

impl ChanceError {
    pub(crate) fn absurd(
        what: impl Into<String>,
        value: impl std::fmt::Display,
        rule: &'static str,
    ) -> ChanceError {
        ChanceError::Absurd { what: what.into(), value: value.to_string(), rule }
    }
}
