use std::collections::BTreeSet;

use model::Region;

use super::*;

/// The smallest catalogue: two regions, two types.
const SMALL: &str = "\
[sources]
id,kind,date,licence,document
s,read,2026-08,-,somewhere
a,assumed,2024-09-25,-,assumed: as elsewhere
[cpus]
cpu,architecture,name,like,low,mid,high,source
old,x86-64,Old,,,,,s
new,x86-64,New,,,,,s
arm,arm64,Arm,,,,,s
[performance]
cpu,low,mid,high,types
old,10,11,12,3
new,20,21,22,3
arm,15,15,15,1
[coremark aws s]
type,threads,iterations_s,date
m5.large,2,31,2026-06-10
[families]
provider,family,cpu,kind,source
aws,m5,old,general,s
aws,m6g,arm,general,s
aws,t3,old,burstable,s
gcp,n2,old+new,general,s
[regions]
provider,region,place,name,country,residency,zones,letters,source,latitude,longitude,closed
aws,r1,eu-central,One,DE,EU,3,,s,50.11,8.68,
aws,r2,us-east,Two,US,US,2,bc,s,39.04,-77.49,
gcp,g1,ap-southeast,Three,SG,SG,1,,a,1.35,103.82,a reason
[units]
provider,region,unit,name,usd,source
aws,*,balancer_month,balancer,16.43,s
aws,*,disk_gb_month,disk,0.1,a
aws,r1,disk_gb_month,disk,0.2,s
[machines aws s]
type,vcpu,mem_gib,r1,r2
m5.large,2,8,0.1,
m5.metal,96,384,5,4.5
m6g.large,2,8,,0.08
t3.large,2,8,0.09,0.08
[machines gcp s]
type,vcpu,mem_gib,g1
n2-standard-4,4,16,0.2/0.05
[spot aws s]
type,r1,r2
m5.large,1/60,0/50
t3.large,,4/-62
";

#[track_caller]
fn small() -> Catalog {
    Catalog::parse(&[("small", SMALL)]).unwrap()
}

#[track_caller]
fn machine<'c>(catalog: &'c Catalog, region: &str, name: &str) -> &'c Machine {
    let offers = catalog.regions.iter().filter(|offer| offer.region == region);
    offers.flat_map(|offer| &offer.machines).find(|machine| &*machine.name == name).unwrap()
}

#[test]
fn a_price_stands_for_its_type_and_region_with_its_source() {
    let catalog = small();
    assert_eq!(catalog.providers(), ["aws", "gcp"]);
    let names =
        |offer: &RegionOffer| offer.machines.iter().map(|m| m.name.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(
        catalog.regions.iter().map(names).collect::<Vec<_>>(),
        ["m5.large m5.metal t3.large", "m5.metal m6g.large t3.large", "n2-standard-4"]
    );
    let large = machine(&catalog, "r1", "m5.large");
    assert_eq!(
        (large.price.usd, large.price.source.date.as_str(), large.vcpu, large.mem_gib),
        (0.1, "2026-08", 2, 8.0)
    );
    let spot = large.spot.as_ref().unwrap();
    assert!((spot.usd - 0.04).abs() < 1e-12 && spot.taken_back == Some((0.05, 0.10)), "{spot:?}");
    // Its row of the advice has no price on demand, and one costs more than on demand.
    assert_eq!(machine(&catalog, "r2", "m5.metal").spot, None);
    assert!((machine(&catalog, "r2", "t3.large").spot.as_ref().unwrap().usd - 0.08 * 1.62).abs() < 1e-12);
    let google = machine(&catalog, "g1", "n2-standard-4").spot.as_ref().unwrap();
    assert_eq!((google.usd, google.taken_back), (0.05, None));
    let [one, two, three] = &catalog.regions[..] else { panic!() };
    assert_eq!((one.letters.as_str(), two.letters.as_str(), three.letters.as_str()), ("abc", "bc", "a"));
    let disk =
        |offer: &RegionOffer| offer.unit(Unit::DiskGbMonth).map(|price| (price.usd, price.source.assumed));
    assert_eq!((disk(one), disk(two), disk(three)), (Some((0.2, false)), Some((0.1, true)), None));
    assert_eq!(one.unit(Unit::BalancerMonth).unwrap().usd, 16.43);
    assert!(
        !three.is(&Region("ap-southeast".into())) && three.is(&Region("g1".into())),
        "closed: by id alone"
    );
}

#[test]
fn a_type_is_as_fast_as_measured_or_as_its_cpus() {
    let catalog = small();
    let of = |region: &str, name: &str| machine(&catalog, region, name).performance;
    assert_eq!(of("r1", "m5.large"), Performance { low: 31.0, mid: 31.0, high: 31.0, measured: true });
    assert_eq!(of("r2", "m6g.large"), Performance { low: 30.0, mid: 30.0, high: 30.0, measured: false });
    // Either CPU may be given, so the worse of both counts, and the better is the most to hope for.
    assert_eq!(of("g1", "n2-standard-4"), Performance { low: 40.0, mid: 44.0, high: 88.0, measured: false });
    assert_eq!(of("r1", "t3.large").low, 0.0, "credits promise nothing");
}

#[test]
fn what_a_name_says_about_a_type() {
    for (provider, name, family) in [
        ("aws", "m7i-flex.large", Some("m7i-flex")),
        ("aws", "u-12tb1.112xlarge", Some("u-12tb1")),
        ("aws", "cache.r6g.large", Some("r6g")),
        ("alicloud", "ecs.t5-lc1m2.small", Some("t5")),
        ("alicloud", "ecs.u0.c1m1.large", Some("u0")),
        ("alicloud", "c7.large", None),
        ("gcp", "n2d-standard-4", Some("n2d")),
        ("gcp", "", None),
    ] {
        assert_eq!(kind::family(provider, name), family, "{name}");
    }
    for (provider, name, class) in [
        ("aws", "m5.metal", Class::Metal),
        ("aws", "r7iz.metal-16xl", Class::Metal),
        ("gcp", "c3-highcpu-192-metal", Class::Metal),
        ("gcp", "e2-medium", Class::Shared),
        ("gcp", "e2-standard-2", Class::General),
        ("aws", "m1.small", Class::General),
    ] {
        assert_eq!(kind::class(provider, name, Class::General), class, "{name}");
    }
    assert_eq!(kind::class("aws", "g4dn.metal", Class::Accelerated), Class::Accelerated);
}

/// With another text in the place of `from`, this is the first wrong line; more may follow from it.
#[track_caller]
fn refused(from: &str, to: &str, error: &str) {
    assert!(SMALL.contains(from), "`{from}`");
    let found = Catalog::parse(&[("small", &SMALL.replacen(from, to, 1))]).unwrap_err();
    assert_eq!(found.0[0].to_string(), error);
}

#[test]
fn a_line_that_is_wrong_is_named() {
    let usd = |text: &str| format!("small line 36: `{text}` is no price above 0 and up to 10000 USD");
    for wrong in ["-0.1", "0", "NaN", "inf", "1e3", "+1", "10000.1", "0x1", " 1", "1.2.3"] {
        refused("m5.large,2,8,0.1,", &format!("m5.large,2,8,{wrong},"), &usd(wrong));
    }
    let vcpu = "is no number of vCPUs from 1 to 20000";
    refused("m5.large,2,8,0.1", "m5.large,0,8,0.1", &format!("small line 36: `0` {vcpu}"));
    refused("m5.large,2,8,0.1", "m5.large,4294967296,8,0.1", &format!("small line 36: `4294967296` {vcpu}"));
    refused(
        "m5.large,2,8,0.1",
        "m5.large,2,999999,0.1",
        "small line 36: `999999` is no memory above 0 and up to 350000 GiB",
    );
    refused("m5.large,2,8,0.1,\n", "m5.large,2,8,0.1\n", "small line 36: 1 cells for 2 regions");
    refused("m5.large,2,8,0.1,\n", "m5.large\n", "small line 36: the line ends before its specs");
    refused(
        "m5.large,2,8,0.1,\n",
        "m5.large,2,8,0.1,\nm5.large,2,8,0.1,\n",
        "small line 37: `m5.large` is there twice, or out of order after `m5.large`",
    );
    refused(
        "n2-standard-4,4",
        "q9-standard-4,4",
        "small line 42: the family `q9` of `q9-standard-4` is not in `[families]`",
    );
    refused("[machines gcp s]", "[machines gcp t]", "small line 40: `t` is no source");
    refused("[machines gcp s]", "[machines azure s]", "small line 40: azure g1 is no region of `[regions]`");
    refused("[machines gcp s]", "[machines gcp]", "small line 40: it must be `[machines PROVIDER SOURCE]`");
    refused(
        "n2-standard-4,4,16,0.2/0.05",
        "n2-standard-4,4,16,0.2/",
        "small line 42: `` is no price above 0 and up to 10000 USD",
    );
    refused(
        "m5.large,1/60",
        "m5.large,5/60",
        "small line 45: `5/60` is no band and saving in per cent such as `1/61`",
    );
    refused("type,r1,r2\nm5.large,1/60", "type,r1,r1\nm5.large,1/60", "small line 43: `r1` is there twice");
    refused(
        "a,assumed,2024-09-25",
        "a,guessed,2024-09-25",
        "small line 4: `guessed` is no kind of source; it is `read`, `derived` or `assumed`",
    );
    refused("old,10,11,12,3", "old,13,11,12,3", "small line 12: low, mid and high of `old` are not in order");
    refused("50.11,8.68", "95.11,8.68", "small line 26: `95.11` is no angle up to 90 degrees");
    refused(
        "eu-central,One,DE,EU",
        "eu-central,One,CH,CH",
        "small line 26: `eu-central` and `CH` disagree: places in the EU begin with `eu-`, and no others",
    );
    refused("balancer_month,balancer", "balancer_year,balancer", "small line 31: `balancer_year` is no unit");
    refused(
        "[sources]\n",
        "",
        "small line 1: this line is in no section; `[machines aws SOURCE]` begins one",
    );
}

#[test]
fn machines_of_several_sources_add_up_in_the_order_of_their_names() {
    let with = |section: &str| Catalog::parse(&[("small", &format!("{SMALL}{section}"))]);
    let more =
        with("[machines aws a]\ntype,vcpu,mem_gib,r1\nm5.2xlarge,8,32,0.4\nm5.xlarge,4,16,0.2\n").unwrap();
    sound(&more);
    let offer =
        |catalog: &Catalog| catalog.regions.iter().find(|offer| offer.region == "r1").cloned().unwrap();
    let names = |catalog: &Catalog| -> Vec<String> {
        offer(catalog)
            .machines
            .iter()
            .map(|machine| format!("{} {}", machine.name, machine.price.source.id))
            .collect()
    };
    assert_eq!(names(&small()), ["m5.large s", "m5.metal s", "t3.large s"]);
    assert_eq!(names(&more), ["m5.2xlarge a", "m5.large s", "m5.metal s", "m5.xlarge a", "t3.large s"]);
    assert_eq!(machine(&more, "r1", "m5.large").spot, machine(&small(), "r1", "m5.large").spot);
    let wrong = |section: &str| with(section).unwrap_err().0[0].to_string();
    assert_eq!(
        wrong("[machines aws a]\ntype,vcpu,mem_gib,r1\nm5.large,2,8,0.4\n"),
        "small line 49: `m5.large` is in another section, too"
    );
    assert_eq!(
        wrong("[machines aws s]\ntype,vcpu,mem_gib,r1\nm5.xlarge,4,16,0.2\n"),
        "small line 47: `r1` is there twice"
    );
    assert_eq!(wrong("[spot aws a]\ntype,r1\nm5.large,1/60\n"), "small line 47: `r1` is there twice");
}

/// The types that are derived stand beside what they are derived from.
#[test]
fn half_of_an_xlarge_is_a_large() {
    let catalog = Catalog::shipped();
    let mut halves = 0;
    for offer in &catalog.regions {
        for half in offer.machines.iter().filter(|machine| machine.price.source.id == "ec2-half") {
            let family = half.name.strip_suffix(".large").unwrap();
            let whole = machine(&catalog, &offer.region, &format!("{family}.xlarge"));
            assert_eq!((half.vcpu * 2, half.mem_gib * 2.0), (whole.vcpu, whole.mem_gib), "{half:?}");
            assert!((half.price.usd * 2.0 - whole.price.usd).abs() < 2e-6, "{half:?}");
            assert!(!half.price.source.assumed);
            halves += 1;
        }
    }
    assert_eq!(halves, 900);
    // As the provider's page has it.
    assert_eq!(machine(&catalog, "us-east-1", "m5.large").price.usd, 0.096);
}

#[test]
fn an_empty_or_cut_off_file_is_no_catalogue() {
    let check = |text: &str, expected: &str| {
        assert_eq!(Catalog::parse(&[("cut", text)]).unwrap_err().to_string(), expected);
    };
    check("", "cut line 1: the file has no section; `[machines aws SOURCE]` begins one");
    check("# nothing\n", "cut line 1: the file has no section; `[machines aws SOURCE]` begins one");
    check(
        "[sources]\n",
        "cut line 1: the columns of this section are missing\ncut line 1: this section has no row",
    );
    check("[sources]\nid,kind,date,licence,document\n", "cut line 1: this section has no row");
    check(
        "[prices]\n",
        "cut line 1: `[prices]` begins no section; known are sources cpus performance coremark families regions units machines caches spot",
    );
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    check(&long, "cut line 1: the file has more than 16777216 bytes");
    let ended = Catalog::parse(&[("cut", SMALL.split("t3.large,,4").next().unwrap())]).unwrap();
    assert_eq!(machine(&ended, "r2", "t3.large").spot, None);
    assert_eq!(
        Catalog::parse(&[("small", &SMALL.replace('\n', "\r\n"))]).unwrap(),
        small(),
        "lines of Windows"
    );
    assert_eq!(Catalog::parse(&[("small", &format!("\u{feff}{SMALL}"))]).unwrap(), small());
}

#[test]
fn wrong_lines_are_named_up_to_a_hundred() {
    let many = "x9.large,2,8,0.1,\n".repeat(500);
    let errors = Catalog::parse(&[("small", &SMALL.replace("m5.large,2,8,0.1,\n", &many))]).unwrap_err();
    assert_eq!(errors.0.len(), ERRORS_MAX);
    assert_eq!((errors.0[0].line, errors.0[99].line), (36, 135));
}

/// Texts with a few bytes changed, lines lost, doubled or cut: read or refused, and never with a price that is none.
#[test]
fn a_damaged_text_never_ends_the_program() {
    let mut seed = 7_u64;
    let mut draw = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let alphabet = b"0123456789.,-/[]#*+eEn \n\r\tazAZ\xc3\xa9";
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = SMALL.as_bytes().to_vec();
        for _ in 0..=draw(3) {
            let at = draw(bytes.len().max(1));
            if bytes.is_empty() {
                break;
            }
            match draw(5) {
                0 => bytes[at] = alphabet[draw(alphabet.len())],
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, alphabet[draw(alphabet.len())]),
                3 => bytes.truncate(at + 1),
                _ => {
                    let end = (at + draw(60)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        match Catalog::parse(&[("damaged", &text)]) {
            Ok(catalog) => {
                read += 1;
                sound(&catalog);
            }
            Err(errors) => {
                refused += 1;
                let lines = text.lines().count().max(1);
                assert!(
                    !errors.0.is_empty() && errors.0.iter().all(|e| (1..=lines).contains(&e.line)),
                    "{errors}"
                );
            }
        }
        // And as something that is laid over the shipped files, now and then: that takes longer.
        if read % 300 == 1 {
            Catalog::updated("damaged", &text).map(|catalog| sound(&catalog)).ok();
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
}

/// What holds of every catalogue.
#[track_caller]
fn sound(catalog: &Catalog) {
    for offer in catalog.regions.iter().chain(&catalog.unpriced) {
        assert!((1..=9).contains(&offer.zones) && offer.letters.len() == usize::from(offer.zones));
        for pair in offer.machines.windows(2) {
            assert!(pair[0].name < pair[1].name);
        }
        for machine in offer.machines.iter().chain(&offer.caches) {
            let Performance { low, mid, high, measured: _ } = machine.performance;
            assert!(0.0 <= low && low <= mid && mid <= high && mid > 0.0, "{machine:?}");
            assert!(machine.price.usd > 0.0 && machine.price.usd < 1e5 && machine.vcpu > 0, "{machine:?}");
            assert!(machine.mem_gib > 0.0 && machine.mem_gib < 1e6, "{machine:?}");
            assert!(machine.spot.as_ref().is_none_or(|spot| spot.usd > 0.0), "{machine:?}");
            assert!(age::is_date(&machine.price.source.date));
        }
    }
}

#[test]
fn the_shipped_catalogue_is_whole() {
    let catalog = Catalog::parse(SHIPPED).unwrap();
    sound(&catalog);
    let count = |provider: &str| -> (usize, usize, usize, usize) {
        let offers = catalog.regions.iter().filter(|offer| offer.provider == provider);
        let machines = || offers.clone().flat_map(|offer| &offer.machines);
        let types: BTreeSet<&str> = machines().map(|machine| &*machine.name).collect();
        (
            offers.clone().count(),
            machines().count(),
            types.len(),
            machines().filter(|m| m.spot.is_some()).count(),
        )
    };
    assert_eq!(count("alicloud"), (27, 5_215, 692, 0));
    assert_eq!(count("aws"), (18, 8_142, 637, 8_050));
    assert_eq!(count("gcp"), (43, 12_721, 519, 12_721));
    let caches: usize = catalog.regions.iter().chain(&catalog.unpriced).map(|offer| offer.caches.len()).sum();
    assert_eq!(caches, 1_706);
    // Spot checks against the providers' pages as the sources had them.
    let price = |region: &str, name: &str| machine(&catalog, region, name).price.usd;
    assert_eq!((price("us-east-1", "m5.xlarge"), price("europe-west3", "n2-standard-4")), (0.192, 0.250248));
    let measured = machine(&catalog, "eu-central-1", "m6i.xlarge").performance;
    assert!(measured.measured && measured.low == measured.high, "{measured:?}");
    for offer in &catalog.regions {
        for unit in [
            Unit::DiskGbMonth,
            Unit::SnapshotGbMonth,
            Unit::BalancerMonth,
            Unit::NatGb,
            Unit::TrafficZoneOutGb,
            Unit::TrafficInternetGb,
            Unit::DatabaseVcpuHour,
        ] {
            assert!(offer.unit(unit).is_some(), "{} {} {}", offer.provider, offer.region, unit.name());
        }
        let count = offer.usable().count();
        assert!(count >= 5 || offer.closed.is_some(), "{} {}", offer.provider, offer.region);
    }
}

#[test]
fn what_is_not_its_own_all_day_is_not_planned_with() {
    let catalog = Catalog::shipped();
    let mut usable: BTreeSet<&str> = BTreeSet::new();
    for machine in catalog.regions.iter().flat_map(RegionOffer::usable) {
        usable.insert(&machine.name);
    }
    for name in [
        "t3.xlarge",
        "t4g.2xlarge",
        "t3a.xlarge",
        "m7i-flex.xlarge",
        "a1.xlarge",
        "m7g.xlarge",
        "m5.metal",
        "p3.2xlarge",
        "hpc7a.96xlarge",
        "e2-micro",
        "e2-small",
        "e2-medium",
        "f1-micro",
        "g1-small",
        "c3-highcpu-192-metal",
        "t2a-standard-1",
        "c4a-highcpu-1",
        "ecs.t5-lc1m2.small",
        "ecs.t6-c1m1.large",
        "ecs.e-c1m1.large",
        "ecs.u1-c1m1.large",
        "ecs.n4.large",
        "ecs.g8y.large",
        "ecs.ebmg7.32xlarge",
        "ecs.gn6i-c4g1.xlarge",
    ] {
        let exists =
            catalog.regions.iter().flat_map(|offer| &offer.machines).any(|machine| &*machine.name == name);
        assert!(exists && !usable.contains(name), "{name}");
    }
    for name in
        ["m6i.xlarge", "c7a.xlarge", "n2-standard-2", "e2-standard-2", "ecs.c7.large", "ecs.g8a.large"]
    {
        assert!(usable.contains(name), "{name}");
    }
}

const UPDATE: &str = "\
[sources]
id,kind,date,licence,document
mine,read,2026-12-01,-,our price list
[machines aws mine]
type,vcpu,mem_gib,ap-south-1,us-east-1
m5.xlarge,4,16,0.202,0.18
[units]
provider,region,unit,name,usd,source
gcp,*,nat_month,NAT gateway,31.5,mine
";

#[test]
fn an_update_replaces_what_it_lists_and_nothing_else() {
    let (shipped, updated) = (Catalog::shipped(), Catalog::updated("mine", UPDATE).unwrap());
    assert_eq!((shipped.updated.as_deref(), updated.updated.as_deref()), (None, Some("2026-12-01")));
    let offer = |catalog: &Catalog, region: &str| {
        catalog.regions.iter().find(|offer| offer.region == region && offer.provider == "aws").cloned()
    };
    let here = offer(&updated, "us-east-1").unwrap();
    assert_eq!(here.machines.len(), 1, "a region is listed whole");
    assert_eq!(
        (here.machines[0].price.usd, here.machines[0].price.source.document.as_str()),
        (0.18, "our price list")
    );
    let advised = machine(&shipped, "us-east-1", "m5.xlarge").spot.clone().unwrap().taken_back;
    assert_eq!(here.machines[0].spot.clone().unwrap().taken_back, advised, "the advice on it is still known");
    assert_eq!(here.caches, offer(&shipped, "us-east-1").unwrap().caches);
    assert_eq!(offer(&shipped, "ap-south-1"), None);
    assert!(offer(&updated, "ap-south-1").unwrap().unit(Unit::DiskGbMonth).is_some());
    assert_eq!(offer(&shipped, "eu-west-1"), offer(&updated, "eu-west-1"));
    assert_eq!(
        updated
            .regions
            .iter()
            .find(|offer| offer.provider == "gcp")
            .unwrap()
            .unit(Unit::NatMonth)
            .unwrap()
            .usd,
        31.5
    );
    let again = UPDATE.replace("[machines aws mine]", "[machines aws ec2]");
    expect_test::expect![
        "mine line 4: `ec2` is a source of the shipped prices; give the new ones a line in `[sources]`"
    ]
    .assert_eq(&Catalog::updated("mine", &again).unwrap_err().to_string());
    expect_test::expect!["mine line 1: the file has no section; `[machines aws SOURCE]` begins one"]
        .assert_eq(&Catalog::updated("mine", "").unwrap_err().to_string());
}

#[test]
fn prices_grow_old_after_twelve_whole_months() {
    for (date, today, band) in [
        ("2026-08", "2026-11-28", None),
        ("2025-11-01", "2026-11-28", None),
        ("2025-10-28", "2026-11-01", Some(Band::OLD)),
        ("2024-11", "2026-11", Some(Band::OLD)),
        ("2024-10-09", "2026-11-28", Some(Band::OLDER)),
        ("2027-01", "2026-11-28", None),
        ("2024", "2026-11-28", None),
        ("2024-13", "2026-11-28", None),
        ("2024-10-09-1", "2026-11-28", None),
    ] {
        assert_eq!(age_band(date, today), band, "{date} on {today}");
    }
    let source = |assumed| Source { assumed, ..(*machine(&small(), "r1", "m5.large").price.source).clone() };
    assert_eq!(source(false).band("2026-11-28"), Band::EXACT);
    assert_eq!(source(true).band("2026-11-28"), Band::ASSUMED);
    assert_eq!(source(false).band("2027-11-28"), Band::OLD);
}

#[test]
fn light_sets_the_least_round_trip() {
    let catalog = Catalog::shipped();
    let at = |region: &str| catalog.regions.iter().find(|offer| offer.region == region).unwrap().at;
    // Great circles as published: Frankfurt to Singapore 10,270 km, Frankfurt to Ashburn 6,540 km.
    for (region, km) in [("asia-southeast1", 10_270.0), ("us-east4", 6_540.0), ("europe-west3", 0.0)] {
        let away = at("europe-west3").distance_km(at(region));
        assert!((away - km).abs() <= 0.005 * km, "{region}: {away}");
        assert_eq!(round_trip_min_ms(at(region), at("europe-west3")), 2.0 * away / 200.0);
    }
    let poles = Coordinates { north: 90.0, east: 0.0 }.distance_km(Coordinates { north: -90.0, east: 77.0 });
    assert!((poles - 20_015.0).abs() < 1.0, "{poles}");
}
