use model::{DataLoss, PerScope};

use super::Application;
use crate::change::tests::shop_with_a_database;
use crate::tests::{made, options, small_shop};
use crate::{Relaxed, Terms, explain, html, render, to_json};

fn losses(standbys: u8, witness: bool) -> Vec<DataLoss> {
    let mut app = shop_with_a_database();
    app.placement.machines = Some(model::Sharing::Apart);
    app.objectives.rto = PerScope::default();
    app.objectives.rpo = PerScope::default();
    app.objectives.budget = None;
    (app.databases[0].standbys, app.databases[0].witness) = (standbys, witness);
    made(&app).losses
}

/// 0.0157 disks a year, copied anew after 6 h: by hand.
#[test]
fn how_often_data_is_lost_is_told_though_no_rpo_is_asked() {
    let (rate, hours) = (0.0157 / 8_766.0, 6.0);
    let gone = rate * hours / (1.0 + rate * hours);
    let close = |loss: &DataLoss, per_year: f64, of: &str| {
        assert!((loss.per_year / per_year - 1.0).abs() < 1e-9, "{loss:?}, by hand {per_year}");
        assert!((loss.in_a_year + (-loss.per_year).exp_m1()).abs() < 1e-15, "{loss:?}");
        assert!(loss.what.contains(of), "{loss:?}");
    };
    let single = losses(0, false);
    assert_eq!(single.len(), 1);
    close(&single[0], 0.0157 * (1.0 - gone), "the disk of its one copy");
    let lease = losses(1, false);
    assert_eq!(lease.len(), 2);
    close(&lease[0], 2.0 * 0.0157 * gone * (1.0 - gone), "the disks of all 2 copies");
    // Four nodes and a fifth of a zone a year.
    close(&lease[1], 4.2, "the last");
    let quorum = losses(2, false);
    assert_eq!(quorum.len(), 1);
    close(&quorum[0], 3.0 * 0.0157 * gone * gone * (1.0 - gone), "the disks of all 3 copies");
    // A witness holds no copy.
    close(&losses(1, true)[0], lease[0].per_year, "the disks of all 2 copies");
}

/// One machine a zone has one disk for data: nodes of a zone are lost with it, and a primary with the machine, too.
#[test]
fn what_shares_a_machine_shares_its_disk() {
    let planned = crate::certified(&small_shop(), &options()).unwrap();
    let assumptions = Terms::default().assumptions(&small_shop()).unwrap();
    let losses = |zones: u8, standbys: u8| {
        let mut database = small_shop().databases[0].clone();
        database.standbys = standbys;
        let whole = Application { zones, ..planned.proof.model.clone().unwrap() };
        assert!(whole.host.is_some());
        super::data_losses(&database, &whole, &assumptions).unwrap()
    };
    let close = |seen: f64, own: f64| assert!((seen / own - 1.0).abs() < 1e-3, "{seen} {own}");
    let quorum = losses(1, 2);
    close(quorum[0].per_year, 0.0157);
    assert_eq!(quorum[0].what, "everything, with the one disk of its 3 copies");
    assert_eq!(
        losses(2, 2)[0].what,
        "everything, with the 2 disks of its 3 copies before one is copied anew"
    );
    assert_eq!(losses(3, 2)[0].what, "everything, with the disks of all 3 copies before one is copied anew");
    // Four nodes, a fifth of a zone and more than half a machine.
    close(losses(3, 1)[1].per_year, 4.76);
}

#[test]
fn outages_and_losses_stand_on_every_page() {
    let app = shop_with_a_database();
    let explained = explain(&app, &options(), &Terms::default(), "2026-11-29").unwrap();
    let plan = &explained.planned.plan;
    assert!(plan.outages.len() == 4 && !plan.losses.is_empty());
    assert!(plan.outages.windows(2).all(|pair| pair[0].per_year >= pair[1].per_year));
    let (text, page) = (render(plan, &Relaxed::default(), 100, false), html(&explained, "2026-11-29"));
    let json = to_json(plan, None, 0.0);
    for told in [
        "over 10m",
        "with the disks of all 3 copies before one is copied anew",
        "a disk is lost with its data",
    ] {
        assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(told), "{told}: {text}");
        assert!(page.contains(told), "{told}");
    }
    assert_eq!(json["losses"][0]["per_year"].as_f64(), Some(plan.losses[0].per_year));
    assert_eq!(json["outages"][3]["longer_than_s"].as_f64(), Some(600.0));
}
