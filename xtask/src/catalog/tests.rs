use std::fs;
use std::path::PathBuf;

use super::*;

/// A folder of its own with the smallest tables that make a catalogue; gone when it is dropped.
struct Facts(PathBuf);

impl Facts {
    fn new(name: &str) -> Facts {
        let folder = std::env::temp_dir().join(format!("evenkeel-catalog-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let facts = Facts(folder);
        facts.put("machines.csv", "provider,region,zones,type,vcpu,mem_gib,usd_hour,usd_hour_spot\naws,us-east-1,,m5.large,2,8.0,0.096,\ngcp,us-east4,3,n2-standard-2,2,8,0.109378,0.0240001\nalicloud,us-east-1,,ecs.c7.large,2,4,0.066813,\naws,us-east-1,,i4i.xlarge,4,32,0.343,\naws,us-east-1,,m5.xlarge,4,16,0.192,\naws,us-east-1,,x1e.xlarge,4,122,0.834,\n");
        facts.put("aws_us_east_1.csv", "type,usd_hour\ni4i.large,0.172\ni4i.xlarge,0.343\nm5.large,0.096\nm5.xlarge,0.192\nx1e.xlarge,0.834\n");
        // Every CPU that is taken for measured must have been, so this one table is the real one.
        facts.put("aws_coremark.csv", &coremark());
        facts.put(
            "aws_elasticache_redis.csv",
            "region,type,vcpu,mem_gib,usd_hour\nus-east-1,cache.m5.large,2,6.38,0.156\n",
        );
        facts.put(
            "aws_spot_advisor.csv",
            "region,type,savings_pct,interruption_band\nus-east-1,m5.large,61,5-10%\n",
        );
        facts.put("aws_ebs.csv", "location,gp3_gb_month,io2_gb_month,snapshot_gb_month\nUS East (N. Virginia),0.08,0.125,0.05\nUS East (Miami),0.12,,\n");
        facts.put(
            "aws_data_transfer.csv",
            "region,kind,usd_per_gb\nus-east-1,\"Intra-region data transfer\",0.01\n",
        );
        facts
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn make(&self) -> Result<Vec<(&'static str, String)>> {
        make(&self.0, &crate::root().join("catalog"))
    }

    #[track_caller]
    fn refused(&self, name: &str, from: &str, to: &str, because: &str) {
        let path = self.0.join(name);
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "`{from}` is not in {name}");
        self.put(name, &before.replacen(from, to, 1));
        let error = self.make().map(|_| ()).unwrap_err();
        assert_eq!(format!("{error:#}"), because);
        self.put(name, &before);
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The shipped figures, in the form of the facts.
fn coremark() -> String {
    let shipped = fs::read_to_string(crate::root().join("catalog/coremark-aws.csv")).unwrap();
    let mut text = String::from("type,coremark_iter_s,threads,ran_at\n");
    for line in shipped.lines().skip(3) {
        let fields: Vec<&str> = line.split(',').collect();
        text.push_str(&format!("{},{},{},{}\n", fields[0], fields[2], fields[1], fields[3]));
    }
    text
}

#[test]
fn a_line_a_type_and_a_column_a_region() {
    let facts = Facts::new("form");
    let made = facts.make().unwrap();
    let file = |name: &str| &made.iter().find(|(made, _)| *made == name).unwrap().1;
    assert!(
        file("machines-gcp.csv")
            .ends_with("[machines gcp gce]\ntype,vcpu,mem_gib,us-east4\nn2-standard-2,2,8,0.109378/0.024\n")
    );
    assert!(file("spot-aws.csv").ends_with("type,us-east-1\nm5.large,1/61\n"));
    let units = file("units-regions.csv");
    for line in [
        "aws,us-east-1,traffic_zone_in_gb,traffic between zones,0.01,transfer",
        "gcp,us-east4,disk_gb_month,disk,0.08,disk-assumed",
    ] {
        assert!(units.lines().any(|made| made == line), "{units}");
    }
    // Of one family both were read, and one has no such type.
    assert!(
        file("machines-aws.csv")
            .ends_with("[machines aws ec2-half]\ntype,vcpu,mem_gib,us-east-1\ni4i.large,2,16,0.1715\n"),
        "{}",
        file("machines-aws.csv")
    );
    facts.put("aws_us_east_1.csv", "type,usd_hour\ni4i.large,0.175\ni4i.xlarge,0.343\n");
    let unlike = facts.make().unwrap();
    assert!(unlike.iter().all(|(_, text)| !text.contains("ec2-half")), "2 % more than half is no half");
    let facts = Facts::new("form");
    assert_eq!(facts.make().unwrap(), made, "the same facts give the same bytes");
}

#[test]
fn a_wrong_row_is_named_by_its_line() {
    let facts = Facts::new("wrong");
    let machines = |from: &str, to: &str, because: &str| facts.refused("machines.csv", from, to, because);
    machines("0.096", "-0.096", "machines.csv line 2: `-0.096` is no number above 0 and up to 10000");
    machines("0.096", "NaN", "machines.csv line 2: `NaN` is no number above 0 and up to 10000");
    machines("0.0240001", "inf", "machines.csv line 3: `inf` is no number above 0 and up to 10000");
    machines(",2,4,", ",2.5,4,", "machines.csv line 4: `2.5` is no whole number");
    machines("us-east4", "moon", "machines.csv line 3: gcp moon is not in regions.csv");
    machines("n2-", "zz-", "machines.csv line 3: the family of `zz-standard-2` is not in families.csv");
    machines(",0.066813,", "", "machines.csv line 4: 6 columns instead of 8");
    let twice = "alicloud,us-east-1,,ecs.c7.large,2,4,0.066813,\n";
    machines(twice, &twice.repeat(2), "machines.csv line 5: `ecs.c7.large` in us-east-1 is there twice");
    facts.refused(
        "aws_us_east_1.csv",
        "m5.large",
        "i4i.large",
        "aws_us_east_1.csv line 4: `i4i.large` is there twice",
    );
    facts.refused(
        "aws_spot_advisor.csv",
        "5-10%",
        "often",
        "aws_spot_advisor.csv line 2: `often` is no band",
    );
    facts.refused(
        "aws_ebs.csv",
        "Virginia",
        "Nowhere",
        "aws_ebs.csv line 2: `US East (N. Nowhere)` is no region of regions.csv",
    );
    facts.refused(
        "aws_data_transfer.csv",
        "Intra",
        "Extra",
        "aws_data_transfer.csv line 2: `Extra-region data transfer` is no known traffic",
    );
    facts.refused(
        "aws_elasticache_redis.csv",
        "us-east-1,cache.m5.large,2,6.38,0.156\n",
        "",
        "aws_elasticache_redis.csv: there is no row",
    );
    facts.make().unwrap();
}
