use model::{Ingress, Money, ServiceName};

use super::*;
use crate::change::tests::shop_with_a_database;
use crate::tests::{cloud, options, service, shop, small_shop};
use crate::{Given, Relaxation, Relaxed, Terms, explain};

const TODAY: &str = "2026-11-29";

fn page(app: &model::App) -> String {
    html(&explain(app, &options(), &Terms::default(), TODAY).unwrap(), TODAY)
}

/// Elements are closed in the order in which they were opened; gives back how many there were.
#[track_caller]
fn whole(page: &str) -> usize {
    let (mut open, mut count) = (Vec::new(), 0);
    let body = page.replace(STYLE, "");
    for tag in body.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        let name = tag.split_whitespace().next().unwrap().trim_end_matches('/');
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "</{name}>"),
            None if tag.ends_with('/') || ["!doctype", "meta", "link"].contains(&name) => {}
            None => open.push(name),
        }
        count += 1;
    }
    assert!(open.is_empty(), "{open:?}");
    count
}

#[test]
fn the_page_is_whole_and_asks_nobody_for_anything() {
    for app in [shop(), cloud(), shop_with_a_database(), small_shop()] {
        let page = page(&app);
        assert!(whole(&page) > 150, "{}", page.len());
        for foreign in ["http:", "src=", "url(", "@import", "<script", "javascript:", "NaN", "inf%"] {
            assert!(!page.replace("https:", "").contains(foreign), "{foreign}");
        }
        assert!(page.len() < 200_000, "{}", page.len());
    }
}

#[test]
fn one_machine_a_zone_is_drawn_with_all_that_it_holds() {
    let explained = explain(&small_shop(), &options(), &Terms::default(), TODAY).unwrap();
    assert!(explained.places.iter().all(|zone| zone.shared && zone.machines.len() >= 2));
    let page = html(&explained, TODAY);
    assert_eq!(page.matches("<div class=\"machine\">").count(), explained.places.len());
    assert!(page.contains("<b>web</b>") && page.contains("<b>db-3</b>"));
    assert!(page.contains("one machine a zone, 3 x "), "{page}");
}

#[test]
fn a_providers_database_stands_beside_the_machines_in_two_zones() {
    let mut app = small_shop();
    app.databases.iter_mut().for_each(|one| one.managed = model::Managed::Yes);
    for sharing in [model::Sharing::Together, model::Sharing::Apart] {
        app.placement.machines = Some(sharing);
        let page = page(&app);
        whole(&page);
        let theirs = "<p class=\"on\">run by the provider, not made yet</p>";
        assert_eq!(page.matches(theirs).count(), 2, "{sharing:?}");
        assert!(page.contains("<b>db primary</b>") && page.contains("<b>db copy</b>"), "{sharing:?}");
    }
}

#[test]
fn everything_that_is_said_on_the_terminal_is_on_the_page() {
    let app = shop_with_a_database();
    let explained = explain(&app, &options(), &Terms::default(), TODAY).unwrap();
    let (page, plan) = (html(&explained, TODAY), &explained.planned.plan);
    for line in &plan.lines {
        assert!(
            page.contains(&escaped(&line.item)) && page.contains(&escaped(&line.source)),
            "{}",
            line.item
        );
        assert!(line.date.is_empty() || page.contains(&line.date), "{}", line.date);
    }
    let sentences = plan.why.iter().chain(&plan.assumed).map(|line| sentence(line));
    for text in sentences.chain(plan.causes.iter().map(|cause| sentence(&cause.name))) {
        assert!(page.contains(&text), "{text}");
    }
    for row in &explained.reasons.assumptions {
        assert!(row.swing() < 0.05 || page.contains(&escaped(&row.what)), "{}", row.what);
    }
    for risk in &plan.risks {
        assert!(page.contains(&escaped(&risk.objective)), "{}", risk.objective);
    }
    assert!(page.contains(&plan.usd_month.to_string()) && page.contains(&plan.availability.to_string()));
    assert_eq!(page.matches("class=\"zone\"").count(), plan.zones.len());
    assert_eq!(page.matches("this plan, 86.1 min").count(), 2, "in the wide drawing and in the narrow one");
}

#[test]
fn what_is_missed_stands_at_the_top() {
    let mut app = cloud();
    app.objectives.budget = Some(Money::from_usd(10.0));
    let page = page(&app);
    whole(&page);
    let (top, _) = page.split_once("What runs where").unwrap();
    assert!(top.contains("an objective is missed") && top.contains("the budget is 10.00 USD/month"), "{top}");
    assert!(top.contains("<h2>What would do, each alone</h2>"), "{top}");
    assert!(top.contains("<li><code>budget: 299 USD/month</code> instead of 10.00 USD/month"), "{top}");
    app.objectives.availability = "99.9999%".parse().ok();
    whole(&super::tests::page(&app));
}

#[test]
fn markup_in_the_file_stays_text() {
    let mut app = shop();
    // Names are letters, digits and hyphens; what else is free text of the file, or of a catalogue, could be anything.
    let evil = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>\u{1b}[31m";
    app.ingress = vec![Ingress {
        port: 80,
        any_address: true,
        host: Some(evil.to_owned()),
        to: app.services[0].name.clone(),
    }];
    let mut explained = explain(&app, &options(), &Terms::default(), TODAY).unwrap();
    let plan = &mut explained.planned.plan;
    (plan.provider, plan.region) = (evil.to_owned(), evil.to_owned());
    (plan.lines[0].item, plan.lines[0].source, plan.lines[0].date) = (evil.into(), evil.into(), evil.into());
    plan.causes[0].name = evil.to_owned();
    for texts in [&mut plan.missed, &mut plan.why, &mut plan.assumed] {
        texts.push(format!("`{evil}` and {evil}"));
    }
    plan.rejected[0].name = evil.to_owned();
    plan.rejected[0].reason = evil.to_owned();
    plan.risks.push(model::Risk { objective: evil.into(), per_year: 1.0, in_a_year: 0.5, bound: true });
    explained.places[0].zone = evil.to_owned();
    let part = &mut explained.places[0].machines[0];
    (part.machine, part.of) = (Some(evil.to_owned()), evil.to_owned());
    explained.places[1].machines[0].node = Some(evil.to_owned());
    explained.planned.proof.catalogue = evil.to_owned();
    let given = Given {
        objective: evil.into(),
        of: Some(evil.into()),
        asked: evil.into(),
        becomes: Some(evil.into()),
        what_if: evil.into(),
    };
    let way = Relaxation { changes: vec![given], usd_month: 1.0, unavailability: 0.1, exact: false };
    explained.relaxed = Relaxed { ways: vec![way], cut: true };
    let reasons = &mut explained.reasons;
    for row in &mut reasons.assumptions {
        (row.name, row.what, row.unit) = (evil.into(), evil.into(), evil.into());
        row.high.cheapest.iter_mut().for_each(|other| (other.name, other.same) = (evil.into(), false));
    }
    reasons.frontier.kept[0].name = evil.to_owned();
    reasons
        .worth
        .iter_mut()
        .for_each(|worth| (worth.objective, worth.without.name) = (evil.into(), evil.into()));
    let page = html(&explained, evil);
    whole(&page);
    assert!(page.matches("&lt;script&gt;").count() >= 20, "{}", page.matches("&lt;script&gt;").count());
    for raw in ["<script", "<img", "onerror=alert(1)>\"", "\u{1b}"] {
        assert!(!page.contains(raw), "{raw}");
    }
    assert!(ServiceName::new(evil).is_err(), "such a name is refused before");
}

#[test]
fn a_large_plan_is_drawn_in_part_and_counted_whole() {
    let mut app = shop();
    app.services = vec![service("web", 9_000.0), service("api", 100.0)];
    app.services[0].scale.max = 400;
    let page = page(&app);
    whole(&page);
    assert!(page.contains(" more alike</p>"), "{}", page.len());
    assert!(page.len() < 120_000, "{}", page.len());
}
