//! Counters of one front: each thread has its own, so that counting shares no cache line; a reader adds them up.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use model::{ServiceCounters, ServiceName};

/// Upper bounds of the histogram of answer times, in milliseconds; the last bucket has none.
pub const BUCKETS_MS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];

/// What one thread counts for one service. Aligned so that two threads never write to one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    /// Requests answered, however.
    pub requests: AtomicU64,
    /// Answered by the front with 502, 503 or 504, or by the service with 5xx.
    pub errors: AtomicU64,
    /// Attempts beyond the first.
    pub retries: AtomicU64,
    /// Retries the budget did not allow.
    pub denied: AtomicU64,
    /// Sum of the answer times in microseconds.
    pub time_us: AtomicU64,
    buckets: [AtomicU64; BUCKETS_MS.len() + 1],
}

impl Counters {
    /// A request was answered.
    pub fn answered(&self, took_us: u64, error: bool) {
        self.requests.fetch_add(1, Relaxed);
        if error {
            self.errors.fetch_add(1, Relaxed);
        }
        self.time_us.fetch_add(took_us, Relaxed);
        let bucket = BUCKETS_MS.iter().position(|bound| took_us <= bound * 1000).unwrap_or(BUCKETS_MS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
    }
}

/// One service of a front.
#[derive(Debug)]
pub struct ServiceStats {
    threads: Vec<Counters>,
    /// Ejections, counted by the watcher.
    pub ejections: Arc<AtomicU64>,
}

impl ServiceStats {
    /// Counters for so many threads.
    #[must_use]
    pub fn new(threads: usize) -> ServiceStats {
        ServiceStats {
            threads: (0..threads.max(1)).map(|_| Counters::default()).collect(),
            ejections: Arc::default(),
        }
    }

    /// Those of one thread.
    #[must_use]
    pub fn of_thread(&self, thread: usize) -> &Counters {
        &self.threads[thread % self.threads.len()]
    }

    fn sum(&self, of: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.threads.iter().map(|thread| of(thread).load(Relaxed)).sum()
    }

    /// Added up over the threads.
    #[must_use]
    pub fn counters(&self) -> ServiceCounters {
        ServiceCounters {
            requests: self.sum(|c| &c.requests),
            errors: self.sum(|c| &c.errors),
            retries: self.sum(|c| &c.retries),
            ejections: self.ejections.load(Relaxed),
        }
    }
}

/// Counters that belong to no service.
#[derive(Debug, Default)]
pub struct Totals {
    /// Client connections accepted.
    pub connections: AtomicU64,
    /// Errors of `accept`.
    pub accept_errors: AtomicU64,
    /// Requests the codec or a filter refused.
    pub refused: AtomicU64,
    /// Access log lines that were dropped because the writer was behind.
    pub log_dropped: AtomicU64,
}

/// One endpoint's line in the text.
#[derive(Clone, Debug)]
pub struct EndpointLine {
    /// Its service.
    pub service: ServiceName,
    /// Its unit.
    pub unit: String,
    /// 1 for one that gets requests.
    pub up: bool,
    /// Open requests.
    pub in_flight: u32,
}

/// The text format of Prometheus, version 0.0.4.
#[must_use]
pub fn text(
    services: &BTreeMap<ServiceName, Arc<ServiceStats>>,
    totals: &Totals,
    open: usize,
    endpoints: &[EndpointLine],
) -> String {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, lines: &mut dyn Iterator<Item = String>| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# TYPE evenkeel_front_{name} {kind}");
        for line in lines {
            let _ = writeln!(out, "evenkeel_front_{name}{line}");
        }
    };
    type Read = fn(&ServiceCounters) -> u64;
    let per_service: [(&str, Read); 4] = [
        ("requests_total", |c| c.requests),
        ("errors_total", |c| c.errors),
        ("retries_total", |c| c.retries),
        ("ejections_total", |c| c.ejections),
    ];
    for (name, read) in per_service {
        let line = |(service, stats): (&ServiceName, &Arc<ServiceStats>)| {
            format!("{{service=\"{service}\"}} {}", read(&stats.counters()))
        };
        family(name, "counter", &mut services.iter().map(line));
    }
    family(
        "retries_denied_total",
        "counter",
        &mut services.iter().map(|(s, stats)| format!("{{service=\"{s}\"}} {}", stats.sum(|c| &c.denied))),
    );
    for (name, value) in [
        ("connections_total", &totals.connections),
        ("accept_errors_total", &totals.accept_errors),
        ("refused_total", &totals.refused),
        ("log_dropped_total", &totals.log_dropped),
    ] {
        family(name, "counter", &mut std::iter::once(format!(" {}", value.load(Relaxed))));
    }
    family("connections", "gauge", &mut std::iter::once(format!(" {open}")));
    let of = |e: &EndpointLine| format!("{{service=\"{}\",unit=\"{}\"}}", e.service, e.unit);
    family("endpoint_up", "gauge", &mut endpoints.iter().map(|e| format!("{} {}", of(e), u8::from(e.up))));
    family(
        "endpoint_in_flight",
        "gauge",
        &mut endpoints.iter().map(|e| format!("{} {}", of(e), e.in_flight)),
    );
    let _ = writeln!(out, "# TYPE evenkeel_front_seconds histogram");
    for (service, stats) in services {
        histogram(service, stats, &mut out);
    }
    out
}

fn histogram(service: &ServiceName, stats: &ServiceStats, out: &mut String) {
    let mut sum = 0;
    for (bucket, bound) in BUCKETS_MS.iter().map(|ms| (*ms as f64 / 1000.0).to_string()).enumerate() {
        sum += stats.sum(|c| &c.buckets[bucket]);
        let _ = writeln!(out, "evenkeel_front_seconds_bucket{{service=\"{service}\",le=\"{bound}\"}} {sum}");
    }
    sum += stats.sum(|c| &c.buckets[BUCKETS_MS.len()]);
    let seconds = stats.sum(|c| &c.time_us) as f64 / 1e6;
    let _ = writeln!(out, "evenkeel_front_seconds_bucket{{service=\"{service}\",le=\"+Inf\"}} {sum}");
    let _ = writeln!(out, "evenkeel_front_seconds_sum{{service=\"{service}\"}} {seconds}");
    let _ = writeln!(out, "evenkeel_front_seconds_count{{service=\"{service}\"}} {sum}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let stats = Arc::new(ServiceStats::new(2));
        stats.of_thread(0).answered(900, false);
        stats.of_thread(1).answered(60_000_000, true);
        let services = BTreeMap::from([(ServiceName::new("web").unwrap(), stats)]);
        let all = text(&services, &Totals::default(), 3, &[]);
        for line in [
            "evenkeel_front_requests_total{service=\"web\"} 2",
            "evenkeel_front_errors_total{service=\"web\"} 1",
            "evenkeel_front_connections 3",
            "evenkeel_front_seconds_bucket{service=\"web\",le=\"0.001\"} 1",
            "evenkeel_front_seconds_bucket{service=\"web\",le=\"10\"} 1",
            "evenkeel_front_seconds_bucket{service=\"web\",le=\"+Inf\"} 2",
        ] {
            assert!(all.lines().any(|l| l == line), "{line} in\n{all}");
        }
    }
}
