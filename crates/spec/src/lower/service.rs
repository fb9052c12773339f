use std::collections::BTreeMap;

use model::{
    Deploy, Healthcheck, Load, MilliCpu, Probe, Rate, Resources, Run, Scale, Service, ServiceName, Template,
};

use super::{Lower, Place, port_unknown, service_table, uses_port, values};
use crate::check::{Checked, Named, Typed};
use crate::codes;
use crate::finding::short;
use crate::table::{DEPLOY, HEALTHCHECK, REPLICAS_MAX, RESOURCES};

impl<'c> Lower<'c, '_> {
    /// `None` when something in it is wrong; a finding was made.
    pub(super) fn service(&mut self, named: &'c Named, zones: u8) -> Option<Service> {
        let table = service_table(named)?;
        let path = format!("services.{}", short(&named.name));
        let run = self.run(named, table);
        let name = short(&named.name);
        for item in table.list("command").unwrap_or_default() {
            self.holes(item, Place::Command(&name));
        }
        for item in values(table) {
            self.holes(item, Place::Environment(&name));
        }
        let healthcheck = self.healthcheck(&path, table);
        let resources = self.resources(&path, table);
        let scale = self.scale(&path, named, table, zones);
        let load = self.load(table);
        let deploy = self.deploy(&path, table, scale.as_ref());
        Some(Service {
            name: ServiceName::new(&named.name).ok()?,
            run: run?,
            environment: self.environment(table),
            healthcheck: healthcheck?,
            resources: resources?,
            scale: scale?,
            load,
            rps_per_cpu: table.table("capacity").and_then(|capacity| capacity.number("rps_per_cpu")),
            deploy: deploy?,
        })
    }

    fn run(&mut self, named: &Named, table: &Checked) -> Option<Run> {
        if let Some(image) = table.text("image") {
            if let Some(at) = table.given("image").filter(|_| table.given("command").is_none()) {
                let name = short(&named.name);
                let message = format!("`{name}` runs an image, which this version does not start");
                self.found.warning(&codes::IMAGE, at, message).hint(
                    "`check` and `plan` go on; `up` refuses: `command:` starts a program of this machine",
                );
                self.not_run.insert(format!(
                    "service `{name}` runs an image, which this version does not start; hint: give a program of this \
                     machine with `command:`"
                ));
            }
            return Some(Run::Image(image.to_owned()));
        }
        let words = table.list("command")?.iter().map(|item| match &item.typed {
            Typed::Template(template, _) => Some(self.resolved(template)),
            _ => None,
        });
        let words: Vec<_> = words.collect::<Option<_>>()?;
        if words.first().is_some_and(|program| program.pieces.is_empty()) {
            let at = table.list("command").and_then(|items| items.first()).map(|item| item.span);
            self.found
                .error(&codes::BAD_FORM, at.unwrap_or(named.at), "the program of `command` is empty")
                .hint("its first entry is the program: `command: [\"bin/shop\"]`");
        }
        Some(Run::Command(words))
    }

    /// Environment variables by name.
    fn environment(&self, table: &Checked) -> BTreeMap<String, Template> {
        table
            .map("environment")
            .iter()
            .filter_map(|named| match &named.item.as_ref()?.typed {
                Typed::Template(template, _) => Some((named.name.clone(), self.resolved(template))),
                _ => None,
            })
            .collect()
    }

    fn healthcheck(&mut self, path: &str, service: &Checked) -> Option<Healthcheck> {
        let table = service.table("healthcheck")?;
        self.used_defaults(&format!("{path}.healthcheck"), &HEALTHCHECK, table);
        let has_port = uses_port(service);
        let listens_nowhere = !has_port && !port_unknown(service) && service.given("command").is_some();
        let probe = match table.item("http") {
            Some(item) => {
                if listens_nowhere {
                    self.found
                        .error(&codes::NO_PORT, item.span, "an HTTP health check needs a service that uses `${port}`")
                        .hint("tell it its port: `command: [\"bin/shop\", \"--port\", \"${port}\"]`, or remove `http`");
                }
                Probe::Http(table.text("http")?.to_owned())
            }
            None if table.given("http").is_some() => return None,
            None if has_port => {
                self.defaults.push(format!(
                    "`{path}.healthcheck.http`: none (a TCP connection to `${{port}}` is enough, also to a process that stands still)"
                ));
                Probe::Tcp
            }
            None => {
                self.defaults.push(format!(
                    "`{path}.healthcheck.http`: none (no `${{port}}` is used, so a replica that runs is well)"
                ));
                Probe::Running
            }
        };
        let interval = table.duration("interval")?;
        let timeout = table.duration("timeout")?;
        let start_timeout = table.duration("start_timeout")?;
        let at = |name: &str| table.given(name).unwrap_or(table.at);
        if timeout > interval {
            let message = format!("`timeout` ({timeout}) is longer than `interval` ({interval})");
            self.found
                .warning(&codes::SLOW_PROBE, at("timeout"), message)
                .hint("the next probe waits for the one before; make `timeout` the shorter one");
        }
        if start_timeout < timeout {
            let message =
                format!("`start_timeout` ({start_timeout}) is shorter than one probe (`timeout`: {timeout})");
            self.found
                .warning(&codes::SLOW_PROBE, at("start_timeout"), message)
                .hint("give a replica the time of some probes to start");
        }
        let retries = u32::try_from(table.integer("retries")?).ok()?;
        Some(Healthcheck { probe, interval, timeout, retries, start_timeout })
    }

    fn resources(&mut self, path: &str, service: &Checked) -> Option<Resources> {
        let table = service.table("resources")?;
        self.used_defaults(&format!("{path}.resources"), &RESOURCES, table);
        let milli = table.number("cpus")? * 1_000.0;
        if (milli - milli.round()).abs() > 1e-6 {
            let at = table.item("cpus").map_or(table.at, |item| item.span);
            self.found
                .error(&codes::OUT_OF_RANGE, at, "`cpus` has more than three decimals")
                .hint("write `0.25`");
        }
        let Some(Typed::Bytes(memory)) = table.item("memory").map(|item| &item.typed) else { return None };
        // From 10 to 256,000 by the bounds of the table.
        Some(Resources { cpus: MilliCpu(milli.round() as u32), memory: *memory })
    }

    fn scale(&mut self, path: &str, named: &Named, service: &Checked, zones: u8) -> Option<Scale> {
        let table = service.table("scale")?;
        let target = match table.table("target") {
            Some(target) => target.number("rps").map(Rate),
            None => None,
        };
        let count =
            |table: &Checked, name: &str| table.integer(name).and_then(|value| u32::try_from(value).ok());
        let (given_min, given_max) = (table.given("min"), table.given("max"));
        if let Some(at) = service.given("replicas") {
            if given_min.is_some() || given_max.is_some() {
                self.found
                    .error(&codes::ORDER, at, "`replicas` and `scale` both say how many replicas there are")
                    .hint("`replicas: N` is short for `scale: { min: N, max: N }`; keep one of them");
            }
            let replicas = count(service, "replicas")?;
            return Some(Scale { min: replicas, max: replicas, target });
        }
        let max = count(table, "max");
        let min = match (given_min, count(table, "min")) {
            (Some(_), min) => min?,
            (None, _) => self.default_min(path, &named.name, zones, max),
        };
        let max = match (given_max, max) {
            (Some(_), max) => max?,
            (None, _) => {
                let max = (2 * min).min(REPLICAS_MAX as u32);
                self.defaults.push(format!(
                    "`{path}.scale.max`: {max} (twice `min`, so that a doubled load is carried)"
                ));
                max
            }
        };
        if min > max {
            let at = table.item("min").or_else(|| table.item("max")).map_or(table.at, |item| item.span);
            self.found
                .error(&codes::ORDER, at, format!("`min` is {min}, more than `max`, which is {max}"))
                .hint("swap them, or raise `max`");
        }
        Some(Scale { min, max, target })
    }

    fn default_min(&mut self, path: &str, name: &str, zones: u8, max: Option<u32>) -> u32 {
        let is_reached = self.reached.contains(name);
        let (wanted, why) = match (is_reached, zones > 1) {
            (true, true) => (2, "`ingress` reaches it, so one replica in each of two zones"),
            (true, false) => (1, "there is one zone"),
            (false, _) => (1, "`ingress` does not reach it"),
        };
        let min = wanted.min(max.unwrap_or(wanted));
        let why = if min < wanted { "no more than `max`" } else { why };
        self.defaults.push(format!("`{path}.scale.min`: {min} ({why})"));
        min
    }

    fn load(&mut self, service: &Checked) -> Option<Load> {
        let table = service.table("load")?;
        let (peak, mean) = (table.rate("peak")?, table.rate("mean"));
        if let Some(mean) = mean.filter(|mean| *mean > peak) {
            let at = table.item("mean").map_or(table.at, |item| item.span);
            self.found
                .error(&codes::ORDER, at, format!("`mean` is {mean}, more than `peak`, which is {peak}"))
                .hint("`peak` is the most that must be carried, `mean` the average of a month");
        }
        Some(Load { peak, mean, response: table.bytes("response") })
    }

    fn deploy(&mut self, path: &str, service: &Checked, scale: Option<&Scale>) -> Option<Deploy> {
        let table = service.table("deploy")?;
        self.used_defaults(&format!("{path}.deploy"), &DEPLOY, table);
        let max_unavailable = u32::try_from(table.integer("max_unavailable")?).ok()?;
        if let Some(scale) = scale.filter(|scale| max_unavailable > 0 && max_unavailable >= scale.min) {
            let at = table.item("max_unavailable").map_or(table.at, |item| item.span);
            let message = format!(
                "`max_unavailable` is {max_unavailable}, but there may be only {} replica{}",
                scale.min,
                if scale.min == 1 { "" } else { "s" }
            );
            self.found
                .error(&codes::MAX_UNAVAILABLE, at, message)
                .hint("write 0: a successor is healthy before a replica goes");
        }
        Some(Deploy { max_unavailable, drain: table.duration("drain")? })
    }
}
