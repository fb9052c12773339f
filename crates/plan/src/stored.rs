//! A plan as something that can be played: the model of it, from a fresh plan or from what `plan -o` wrote.

use serde_json::Value;

use crate::Planned;
use crate::chance::{Answer, Application, ChanceError, Stateful};
use crate::json::FORMAT;

/// Relative difference between the availability that a stored plan states and that of its model. Both were computed by
/// the same formula, so more than rounding means that one of them was changed.
const ROUNDING: f64 = 1e-6;

/// Longest text of a name that is shown.
const NAME_MAX: usize = 200;

/// What is played.
#[derive(Clone, Debug, PartialEq)]
pub struct Playable {
    /// The application.
    pub app: String,
    /// `local`, `aws`, `gcp` or `alicloud`.
    pub provider: String,
    /// The provider's region; `local` on this machine.
    pub region: String,
    /// The model of what was planned.
    pub model: Application,
    /// How available it is by that model.
    pub answer: Answer,
}

/// Why a stored plan cannot be played.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StoredError {
    /// It is something else.
    #[error("it is {0}")]
    Other(String),
    /// A newer evenkeel wrote it.
    #[error("its `format_version` is {found}, and this evenkeel reads {FORMAT}")]
    Later {
        /// What it says.
        found: u64,
    },
    /// A field is missing or is not what it must be.
    #[error("{place}: {why}")]
    Field {
        /// Which, from the outermost object.
        place: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// An older evenkeel wrote it, or the plan has none.
    #[error("it has no model at `certificate.proof.model`")]
    NoModel,
    /// A service of it is never up.
    #[error("a service has fewer replicas than carry its peak, so by the model it is down all the time")]
    NeverUp,
    /// A number of the model makes no sense.
    #[error("`certificate.proof.model`: {0}")]
    Model(#[from] ChanceError),
    /// It was changed after it was written.
    #[error(
        "it states an unavailability of {stated:e}, and its model has {computed:e}: one of them was changed, or another \
         version computed it"
    )]
    Changed {
        /// What the plan says.
        stated: f64,
        /// What its model says.
        computed: f64,
    },
}

impl Playable {
    /// What was just planned.
    ///
    /// # Errors
    /// [`StoredError::NeverUp`], or [`StoredError::Model`] for more states than are computed.
    pub fn of(planned: &Planned) -> Result<Playable, StoredError> {
        let model = planned.proof.model.clone().ok_or(StoredError::NeverUp)?;
        let plan = &planned.plan;
        Playable::new(plan.app.to_string(), plan.provider.clone(), plan.region.clone(), model)
    }

    /// What `plan --json` or `plan -o` wrote.
    ///
    /// # Errors
    /// [`StoredError`] with the first thing that is not as it must be.
    pub fn read(stored: &Value) -> Result<Playable, StoredError> {
        let Some(object) = stored.as_object() else {
            return Err(StoredError::Other("no JSON object".to_owned()));
        };
        match object.get("kind").and_then(Value::as_str) {
            Some("plan") => {}
            Some(other) => return Err(StoredError::Other(format!("a `{}`, no plan", printable(other)))),
            None => return Err(StoredError::Other("no plan: it has no `kind`".to_owned())),
        }
        match object.get("format_version").and_then(Value::as_u64) {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => return Err(StoredError::Later { found }),
            _ => return Err(field("format_version", format!("it must be {FORMAT}"))),
        }
        let text = |place: &'static str| {
            let text = object.get(place).and_then(Value::as_str);
            text.map(printable).ok_or_else(|| field(place, "it must be a text"))
        };
        let stated = object.get("unavailability").and_then(Value::as_f64);
        let stated = stated.ok_or_else(|| field("unavailability", "it must be a number"))?;
        let model = stored.pointer("/certificate/proof/model").filter(|model| !model.is_null());
        let never_up = stored.pointer("/certificate/proof").is_some() && stated >= 1.0;
        let none = if never_up { StoredError::NeverUp } else { StoredError::NoModel };
        let model = serde_json::from_value::<Application>(model.ok_or(none)?.clone());
        let model = model.map_err(|error| field("certificate.proof.model", error.to_string()))?;
        model.check()?;
        let all = Playable::new(text("app")?, text("provider")?, text("region")?, named(model))?;
        let computed = all.answer.total.get();
        if (stated - computed).abs() <= ROUNDING * computed {
            Ok(all)
        } else {
            Err(StoredError::Changed { stated, computed })
        }
    }

    fn new(
        app: String,
        provider: String,
        region: String,
        model: Application,
    ) -> Result<Playable, StoredError> {
        // As the plan itself was computed.
        let answer = model.given(&Stateful::quick(&model)?)?;
        Ok(Playable { app, provider, region, model, answer })
    }
}

fn field(place: &'static str, why: impl Into<String>) -> StoredError {
    StoredError::Field { place, why: why.into() }
}

/// A text of a file that somebody may have made up, so that it cannot paint a terminal.
fn printable(text: &str) -> String {
    text.chars().take(NAME_MAX).map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

fn named(mut model: Application) -> Application {
    let common = model.pools.iter_mut().chain(&mut model.shared).map(|common| &mut common.name);
    let groups = model.groups.iter_mut().map(|group| &mut group.name);
    let fleets = model.fleets.iter_mut().map(|fleet| &mut fleet.name);
    common.chain(groups).chain(fleets).for_each(|name| *name = printable(name));
    model
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
