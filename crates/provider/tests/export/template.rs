//! The CloudFormation template. Its properties are judged by cfn-lint (`cargo xtask clouds`), what refers to what here.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fixture::{options, plan, variants};

fn template(plan: &model::Plan, options: &provider::Options) -> Value {
    serde_json::from_str(&provider::cloudformation(plan, options).unwrap().whole).unwrap()
}

/// Everything that is named in `value`: of `Ref`, `Fn::GetAtt`, `Fn::Sub`, `DependsOn`.
fn named(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| named(one, into)),
        Value::Object(all) => {
            for (key, one) in all {
                match (key.as_str(), one) {
                    ("Ref" | "DependsOn", Value::String(name)) => into.extend([name.clone()]),
                    ("Fn::GetAtt", Value::Array(parts)) => {
                        into.extend([parts[0].as_str().unwrap().to_owned()])
                    }
                    ("Fn::Sub", Value::String(text)) => {
                        let names = text
                            .split("${")
                            .skip(1)
                            .map(|rest| rest.split(['}', '.']).next().unwrap().to_owned());
                        into.extend(names);
                    }
                    _ => named(one, into),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn every_name_in_a_template_is_there_and_every_parameter_is_used() {
    for (name, plan, options) in variants().into_iter().filter(|(name, ..)| name.starts_with("aws")) {
        let template = template(&plan, &options);
        let mut found = BTreeSet::new();
        named(&template["Resources"], &mut found);
        named(&template["Outputs"], &mut found);
        for one in &found {
            let there = template["Resources"][one].is_object() || template["Parameters"][one].is_object();
            assert!(there, "{name}: {one} is not there");
        }
        for parameter in template["Parameters"].as_object().unwrap().keys() {
            assert!(found.contains(parameter), "{name}: {parameter} is used nowhere");
        }
        let resources = template["Resources"].as_object().unwrap();
        assert!(resources.len() <= 500, "{name}: {}", resources.len());
        for id in resources.keys() {
            assert!(id.bytes().all(|b| b.is_ascii_alphanumeric()), "{name}: {id}");
        }
    }
}

#[test]
fn what_both_tools_make_is_the_same() {
    for (name, plan, options) in variants().into_iter().filter(|(name, ..)| name.starts_with("aws")) {
        let terraform = provider::terraform(&plan, &options).unwrap();
        let stack = provider::cloudformation(&plan, &options).unwrap();
        let count = |export: &provider::Export| -> Vec<(usize, Option<String>)> {
            export.lines.iter().map(|line| (line.resources.len(), line.not_applied.clone())).collect()
        };
        assert_eq!(count(&terraform), count(&stack), "{name}");
        let costs = |export: &provider::Export| -> Vec<(String, usize)> {
            export.extra.iter().map(|extra| (extra.what.clone(), extra.resources.len())).collect()
        };
        assert_eq!(costs(&terraform), costs(&stack), "{name}");
    }
}

#[test]
fn every_machine_asks_for_a_token_and_data_outlives_the_stack() {
    let template = template(&plan("aws"), &options());
    let data = &template["Resources"]["HostTemplate"]["Properties"]["LaunchTemplateData"];
    assert_eq!(data["MetadataOptions"]["HttpTokens"], "required");
    let mut kept = 0;
    for (id, resource) in template["Resources"].as_object().unwrap() {
        match resource["Type"].as_str().unwrap() {
            "AWS::EC2::Instance" => {
                assert_eq!(
                    resource["Properties"]["LaunchTemplate"]["LaunchTemplateId"]["Ref"], "HostTemplate",
                    "{id}"
                );
            }
            "AWS::EC2::Volume" | "AWS::S3::Bucket" => {
                assert_eq!(resource["DeletionPolicy"], "Retain", "{id}");
                kept += 1;
            }
            "AWS::EC2::SecurityGroupIngress" if resource["Properties"]["CidrIp"] == "0.0.0.0/0" => {
                assert_eq!(resource["Properties"]["GroupId"]["Fn::GetAtt"][0], "EntryGroup", "{id}");
            }
            _ => {}
        }
    }
    assert_eq!(kept, 5);
}
