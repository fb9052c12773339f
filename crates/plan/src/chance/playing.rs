//! Years of the model, counted: how long the whole is down, by what, and how far that is from certain.

use super::part::Application;
use super::simulate::Play;
use super::unit::HOURS_YEAR;
use super::whole::Cause;
use super::{ChanceError, Unavailability};

/// Most years of one run.
pub const YEARS_MAX: u32 = 100_000_000;

/// Years that are played before counting begins, so that the start with everything new is forgotten.
const WARM_YEARS: f64 = 10.0;

/// Years after which the clock is set back, so that moments stay exact to a millisecond.
const SPAN_YEARS: u32 = 100;

/// Stretches into which a run is cut for its error.
const BATCHES: u32 = 200;

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// Years that were counted.
    pub years: u32,
    /// Share of time in which the whole was down.
    pub unavailability: f64,
    /// Standard deviation of `unavailability` as an estimate, from how stretches of the run differ.
    pub deviation: f64,
    /// Every cause that the application has, with its part of `unavailability` and the standard deviation of that. They are
    /// blamed by the rules of [`super::Answer::causes`].
    pub causes: Vec<(Cause, Unavailability, f64)>,
    /// Outages that began.
    pub outages: u64,
    /// For each length that was asked, in hours: outages that lasted longer.
    pub longer: Vec<u64>,
    /// Standard deviations of `outages` and then of each of `longer`.
    pub deviations: Vec<f64>,
    /// Times that something failed, was repaired or was taken over.
    pub events: u64,
}

/// A run that is played step by step, so that whoever waits for it can be told how far it is, and can end it.
pub struct Playing<'a> {
    play: Play<'a>,
    years: u32,
    /// Years that are left of the stretch, and which one it is.
    left: u32,
    batch: u32,
    /// What the stretch began with: hours down, by cause, outages.
    before: (f64, Vec<f64>, Vec<u64>),
    /// Of each stretch: its years, and what was seen in an hour or year of it.
    seen: Vec<(f64, Vec<f64>)>,
}

/// Plays `years` of `app` from `seed`, and counts outages longer than each of `lengths` (hours).
///
/// # Errors
/// [`ChanceError`] for bad input, for no years and more than 100 million, and for more than 16,384 machines and nodes.
pub fn simulate(app: &Application, seed: u64, years: u32, lengths: &[f64]) -> Result<Played, ChanceError> {
    let mut playing = Playing::new(app, seed, years, lengths)?;
    while playing.step() {}
    Ok(playing.seen())
}

impl<'a> Playing<'a> {
    /// As [`simulate`], with nothing played but the years that are not counted.
    ///
    /// # Errors
    /// As [`simulate`].
    pub fn new(
        app: &'a Application,
        seed: u64,
        years: u32,
        lengths: &'a [f64],
    ) -> Result<Playing<'a>, ChanceError> {
        app.check()?;
        if !(1..=YEARS_MAX).contains(&years) {
            return Err(ChanceError::absurd("the years to play", years, "from 1 to 100,000,000"));
        }
        if let Some(bad) = lengths.iter().find(|hours| !(hours.is_finite() && **hours >= 0.0)) {
            let value = format!("{bad} hours");
            return Err(ChanceError::absurd("the length of an outage", value, "finite and from 0"));
        }
        let mut play = Play::new(app, seed, lengths)?;
        play.until(WARM_YEARS * HOURS_YEAR);
        play.counting = true;
        let before = (0.0, play.blame.clone(), play.counts.clone());
        let mut playing = Playing { play, years, left: 0, batch: 0, before, seen: Vec::new() };
        playing.left = playing.stretch();
        Ok(playing)
    }

    /// Plays up to a hundred years. `false`: none are left.
    pub fn step(&mut self) -> bool {
        let span = self.left.min(SPAN_YEARS);
        if span > 0 {
            self.play.until(f64::from(span) * HOURS_YEAR);
            self.left -= span;
        }
        if self.left == 0 && self.batch < self.batches() {
            self.close();
        }
        self.batch < self.batches()
    }

    /// Years that were played and counted.
    #[must_use]
    pub fn years(&self) -> u32 {
        self.seen.iter().map(|(years, _)| *years as u32).sum::<u32>() + self.stretch() - self.left
    }

    fn batches(&self) -> u32 {
        BATCHES.min(self.years)
    }

    /// Years of the present stretch: as equal as whole years can be.
    fn stretch(&self) -> u32 {
        let batches = self.batches();
        let until = |batch: u32| u64::from(self.years) * u64::from(batch) / u64::from(batches);
        if self.batch < batches { (until(self.batch + 1) - until(self.batch)) as u32 } else { 0 }
    }

    /// Keeps what was seen in the stretch, and begins the next.
    fn close(&mut self) {
        let years = f64::from(self.stretch());
        let (down, blame, counts) = &self.before;
        let play = &self.play;
        let mut row = vec![(play.down_hours - down) / (years * HOURS_YEAR)];
        row.extend(play.counts.iter().zip(counts).map(|(now, before)| (now - before) as f64 / years));
        row.extend(play.blame.iter().zip(blame).map(|(now, before)| (now - before) / (years * HOURS_YEAR)));
        self.seen.push((years, row));
        self.before = (play.down_hours, play.blame.clone(), play.counts.clone());
        self.batch += 1;
        self.left = self.stretch();
    }

    /// What was seen in whole stretches so far; all there is after the last step.
    #[must_use]
    pub fn seen(&self) -> Played {
        let (play, counted) = (&self.play, self.seen.iter().map(|(years, _)| years).sum::<f64>());
        let column = |column: usize| deviation(&self.seen, column);
        let (down, blame, counts) = &self.before;
        let hours = (counted * HOURS_YEAR).max(f64::MIN_POSITIVE);
        let causes = play.causes.iter().zip(blame).enumerate().map(|(index, (cause, hours_down))| {
            let share = Unavailability::of(hours_down / hours);
            (cause.clone(), share, column(1 + counts.len() + index))
        });
        Played {
            years: counted as u32,
            unavailability: down / hours,
            deviation: column(0),
            causes: causes.collect(),
            outages: counts[0],
            longer: counts[1..].to_vec(),
            deviations: (1..=counts.len()).map(|index| column(index) * counted).collect(),
            events: play.events,
        }
    }
}

/// Standard deviation of the mean of a column, from how the stretches differ.
fn deviation(seen: &[(f64, Vec<f64>)], column: usize) -> f64 {
    let total: f64 = seen.iter().map(|(years, _)| years).sum();
    let mean = seen.iter().map(|(years, row)| years * row[column]).sum::<f64>() / total;
    let spread: f64 = seen.iter().map(|(years, row)| (years / total * (row[column] - mean)).powi(2)).sum();
    spread.sqrt()
}

#[cfg(test)]
#[path = "simulate_tests.rs"]
mod tests;
