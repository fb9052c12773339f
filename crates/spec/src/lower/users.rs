use model::Users;

use super::Lower;
use crate::check::{Checked, Item, Typed};
use crate::codes;
use crate::finding::quoted;
use crate::region::{KnownPlace, coordinates, find_place};

/// How far the shares may be from 100 % together: whole percents of some places do not come to it.
const ROUNDED: f64 = 1.0;

impl Lower<'_, '_> {
    /// Where the users are, and how many of them.
    pub(super) fn users(&mut self, placement: &Checked) -> Vec<Users> {
        let given = placement.list("users").unwrap_or_default();
        let tables: Vec<&Checked> = given.iter().filter_map(table).collect();
        let named = |table: &&Checked| table.text("place").is_some_and(|place| coordinates(place).is_none());
        let known = if tables.iter().any(named) { (self.places)() } else { Vec::new() };
        let (mut users, mut sum) = (Vec::new(), Some(0.0));
        for table in tables {
            let percent = self.share(table);
            sum = sum.zip(percent).map(|(sum, percent)| sum + percent);
            let at = self.place(table, &known);
            users.extend(at.zip(percent).zip(table.text("place")).map(
                |(((north, east), percent), place)| Users {
                    place: place.trim().to_owned(),
                    north,
                    east,
                    share: percent / 100.0,
                },
            ));
        }
        if let (Some(sum), Some(at), false) = (sum, placement.given("users"), given.is_empty())
            && (sum - 100.0).abs() > ROUNDED + 1e-9
        {
            let said = format!("{sum:.2}");
            let said = said.trim_end_matches('0').trim_end_matches('.');
            self.found
                .error(&codes::SHARES, at, format!("the shares of `users` come to {said}%"))
                .hint("together they must come to 100%, which may be out by 1% where they are rounded");
        }
        users
    }

    /// The percentage; `None` after it was said what is wrong.
    fn share(&mut self, table: &Checked) -> Option<f64> {
        let percent = table.number("share")?;
        if percent > 0.0 {
            return Some(percent);
        }
        let at = table.item("share").map_or(table.at, |item| item.span);
        self.found
            .error(&codes::OUT_OF_RANGE, at, "`share` is 0%; it must be above that")
            .hint("remove the place, or give its share of all users, such as `share: 70%`");
        None
    }

    /// Degrees north and east; `None` when nobody knows, or after it was said that there is no such place.
    fn place(&mut self, table: &Checked, known: &[KnownPlace]) -> Option<(f64, f64)> {
        let item = table.item("place")?;
        let Typed::Text(name) = &item.typed else { return None };
        let near = match find_place(name, known) {
            Ok(at) => return Some(at),
            Err(_) if known.is_empty() => return None,
            Err(near) => near,
        };
        let by_hand = "degrees north and east will do, too: `place: \"50.1 8.7\"`";
        let hint = match near {
            Some(near) => format!("did you mean `{near}`? {by_hand}"),
            None => format!("write a large city, a capital or a country, in English; {by_hand}"),
        };
        self.found
            .error(&codes::PLACE, item.span, format!("{} is no place that is known", quoted(name)))
            .hint(hint);
        None
    }
}

fn table(item: &Item) -> Option<&Checked> {
    match &item.typed {
        Typed::Table(table) => Some(table),
        _ => None,
    }
}
