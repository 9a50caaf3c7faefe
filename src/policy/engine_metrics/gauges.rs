//! Which metrics are read, and what they mean.

use std::{collections::HashMap, time::Duration};

use super::samples::Sample;
use crate::server::{LoadReport, requests};

/// What a metric says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gauge {
    Running,
    Waiting,
    KvCache,
    Adapters,
}

/// A metric: its name, a label that it must have, and what it says.
type Known = (&'static str, Option<(&'static str, &'static str)>, Gauge);

/// Of vLLM, SGLang, TensorRT-LLM (its own server, and in Triton) and llama.cpp. Some write `_` in
/// place of the colon.
const KNOWN: [Known; 18] = [
    ("vllm:num_requests_running", None, Gauge::Running),
    ("vllm:num_requests_waiting", None, Gauge::Waiting),
    ("vllm:kv_cache_usage_perc", None, Gauge::KvCache),
    // In older versions.
    ("vllm:gpu_cache_usage_perc", None, Gauge::KvCache),
    ("vllm:lora_requests_info", None, Gauge::Adapters),
    ("sglang:num_running_reqs", None, Gauge::Running),
    ("sglang:num_queue_reqs", None, Gauge::Waiting),
    ("sglang:token_usage", None, Gauge::KvCache),
    ("trtllm:num_requests_running", None, Gauge::Running),
    ("trtllm:num_requests_waiting", None, Gauge::Waiting),
    ("trtllm:kv_cache_utilization", None, Gauge::KvCache),
    (TRITON, Some(("request_type", "scheduled")), Gauge::Running),
    (TRITON, Some(("request_type", "waiting")), Gauge::Waiting),
    (
        "nv_trt_llm_kv_cache_block_metrics",
        Some(("kv_cache_block_type", "fraction")),
        Gauge::KvCache,
    ),
    ("llamacpp:requests_processing", None, Gauge::Running),
    ("llamacpp:requests_deferred", None, Gauge::Waiting),
    ("llamacpp:kv_cache_usage_ratio", None, Gauge::KvCache),
    ("llamacpp:kv_cache_usage", None, Gauge::KvCache),
];
const TRITON: &str = "nv_trt_llm_request_metrics";
/// More adapters than an engine has at work at a time.
const MAX_ADAPTERS: usize = 1024;
/// The labels that tell processes from one another that have the same requests: an SGLang of several
/// GPUs has a series for each with `--enable-metrics-for-all-schedulers`, and for each stage of a
/// pipeline always.
const SAME_REQUESTS: [&str; 3] = ["tp_rank", "pp_rank", "moe_ep_rank"];
/// How far a page may lag: vLLM's gauges do by 3 to 6 s.
const LAG: Duration = Duration::from_secs(6);
/// Once idle, SGLang writes its gauges only every 30 s.
const SGLANG_LAG: Duration = Duration::from_secs(35);
/// The longest of them.
pub(super) const MAX_LAG: Duration = SGLANG_LAG;

/// What has been read of a page.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    running: Requests,
    waiting: Requests,
    kv_cache: Option<f64>,
    /// When it was said, as a Unix time.
    adapters: Option<(f64, Adapters)>,
    is_sglang: bool,
}

/// How many requests each part of an engine has (data parallelism), by its labels.
#[derive(Debug, Default)]
struct Requests(HashMap<String, f64>);

impl Requests {
    fn see(&mut self, sample: &Sample<'_>) {
        let most = self.0.entry(sample.labels_but(&SAME_REQUESTS)).or_default();
        *most = most.max(sample.value);
    }

    fn count(&self) -> Option<u64> {
        (!self.0.is_empty()).then(|| requests(self.0.values().sum()))?
    }
}

/// The LoRA adapters of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Adapters {
    /// Those that requests are running with or waiting for.
    pub(super) active: Vec<String>,
    /// How many can be at work at a time.
    pub(super) max: usize,
}

impl Gauges {
    /// Takes a line of the page.
    pub(super) fn see(&mut self, line: &[u8]) {
        let Some(sample) = Sample::read(line, |name| KNOWN.iter().any(|known| is(name, known.0)))
        else {
            return;
        };
        let meant = KNOWN.iter().find(|(name, label, _)| {
            let has =
                |(name, value): (&str, &str)| sample.label(name).is_some_and(|is| is == value);
            is(sample.name, name) && label.is_none_or(has)
        });
        // What no engine can mean says nothing.
        if !sample.value.is_finite() || sample.value < 0.0 {
            return;
        }
        let is_sglang = sample.name.starts_with("sglang");
        self.is_sglang |= is_sglang;
        // With priorities, SGLang has a series for each besides that of all, whose label is empty.
        if is_sglang && sample.label("priority").is_some_and(|one| !one.is_empty()) {
            return;
        }
        match meant.map(|(_, _, gauge)| gauge) {
            Some(Gauge::Running) => self.running.see(&sample),
            Some(Gauge::Waiting) => self.waiting.see(&sample),
            // The fullest of them.
            Some(Gauge::KvCache) => {
                let fullest = self.kv_cache.get_or_insert(0.0);
                *fullest = fullest.max(sample.value);
            }
            Some(Gauge::Adapters) => self.see_adapters(&sample),
            None => {}
        }
    }

    /// The series of former moments stay: the value says when.
    fn see_adapters(&mut self, sample: &Sample<'_>) {
        let known = self.adapters.as_ref().map(|(at, _)| *at);
        if known.is_some_and(|at| at >= sample.value) {
            return;
        }
        let [running, waiting, max] =
            ["running_lora_adapters", "waiting_lora_adapters", "max_lora"]
                .map(|label| sample.label(label).unwrap_or_default());
        let names = running.split(',').chain(waiting.split(','));
        let names = names.map(str::trim).filter(|name| !name.is_empty());
        let mut active: Vec<String> = names.take(MAX_ADAPTERS).map(str::to_owned).collect();
        active.sort();
        active.dedup();
        if let Ok(max) = max.parse() {
            self.adapters = Some((sample.value, Adapters { active, max }));
        }
    }

    pub(super) fn report(&self) -> LoadReport {
        let mut report = LoadReport::new();
        if let Some(count) = self.running.count() {
            report = report.running(count);
        }
        if let Some(count) = self.waiting.count() {
            report = report.waiting(count);
        }
        match self.kv_cache {
            Some(share) => report.kv_cache_use(share),
            None => report,
        }
    }

    /// How old what the page says may be.
    pub(super) fn lag(&self) -> Duration {
        match self.is_sglang {
            true => SGLANG_LAG,
            false => LAG,
        }
    }

    pub(super) fn into_adapters(self) -> Option<Adapters> {
        self.adapters.map(|(_, adapters)| adapters)
    }
}

/// Whether a metric is the known one, colon or not.
fn is(name: &str, known: &str) -> bool {
    let both = name.bytes().zip(known.bytes());
    let alike = |(one, other): (u8, u8)| one == other || (one == b'_' && other == b':');
    name.len() == known.len() && both.into_iter().all(alike)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(page: &str) -> Gauges {
        let mut gauges = Gauges::default();
        page.lines().for_each(|line| gauges.see(line.as_bytes()));
        gauges
    }

    #[test]
    fn every_engine_is_understood() {
        for page in [
            "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 8.0\n\
             vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 7.0\n\
             vllm:num_requests_waiting_by_reason{engine=\"0\",reason=\"capacity\"} 7.0\n\
             vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.5",
            "vllm:num_requests_running{model_name=\"m\"} 8\n\
             vllm:num_requests_waiting{model_name=\"m\"} 7\n\
             vllm:gpu_cache_usage_perc{model_name=\"m\"} 0.5",
            "sglang:num_running_reqs{model_name=\"m\"} 8.0\n\
             sglang:num_queue_reqs{model_name=\"m\"} 7.0\n\
             sglang:token_usage{model_name=\"m\"} 0.5",
            "trtllm_num_requests_running{model_name=\"m\",engine_type=\"trtllm\"} 8.0\n\
             trtllm_num_requests_waiting{model_name=\"m\",engine_type=\"trtllm\"} 7.0\n\
             trtllm_kv_cache_utilization{model_name=\"m\",engine_type=\"trtllm\"} 0.5",
            "nv_trt_llm_request_metrics{model=\"m\",request_type=\"scheduled\",version=\"1\"} 8\n\
             nv_trt_llm_request_metrics{model=\"m\",request_type=\"max\",version=\"1\"} 512\n\
             nv_trt_llm_request_metrics{model=\"m\",request_type=\"waiting\",version=\"1\"} 7\n\
             nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"max\"} 6239\n\
             nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"fraction\"} 0.5",
            "llamacpp:requests_processing 8\n\
             llamacpp:requests_deferred 7\n\
             llamacpp:kv_cache_usage_ratio 0.5",
        ] {
            let expected = LoadReport::new().running(8).waiting(7).kv_cache_use(0.5);
            assert_eq!(read(page).report(), expected, "{page}");
        }
    }

    /// What a vLLM 0.32.0 wrote while it was busy.
    #[test]
    fn a_real_page() {
        let page = include_str!("testdata/vllm_busy.prom");
        let gauges = read(page);
        let report = gauges.report();
        assert_eq!(
            (report.get_running(), report.get_waiting()),
            (Some(8), Some(7))
        );
        assert!(report.get_kv_cache_use().unwrap() < 0.002);
        let adapters = gauges.into_adapters().unwrap();
        assert_eq!(adapters.active, ["lora-A", "lora-B"]);
        assert_eq!(adapters.max, 3);
    }

    #[test]
    fn the_parts_of_an_engine_add_up() {
        let page = "vllm:num_requests_running{engine=\"0\"} 3\n\
                    vllm:num_requests_running{engine=\"1\"} 4\n\
                    vllm:num_requests_waiting{engine=\"0\"} 0\n\
                    vllm:num_requests_waiting{engine=\"1\"} 2\n\
                    vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n\
                    vllm:kv_cache_usage_perc{engine=\"1\"} 0.75";
        let expected = LoadReport::new().running(7).waiting(2).kv_cache_use(0.75);
        assert_eq!(read(page).report(), expected);
    }

    /// As SGLang writes it with `--enable-priority-scheduling`: all requests, and those of each priority.
    #[test]
    fn a_request_counts_once_whatever_its_priority() {
        let page = "sglang:num_running_reqs{model_name=\"m\",priority=\"\",tp_rank=\"0\"} 7.0\n\
                    sglang:num_running_reqs{model_name=\"m\",priority=\"5\",tp_rank=\"0\"} 4.0\n\
                    sglang:num_running_reqs{model_name=\"m\",priority=\"None\",tp_rank=\"0\"} 3.0\n\
                    sglang:num_queue_reqs{model_name=\"m\",priority=\"\",tp_rank=\"0\"} 2.0\n\
                    sglang:num_queue_reqs{model_name=\"m\",priority=\"5\",tp_rank=\"0\"} 2.0";
        let expected = LoadReport::new().running(7).waiting(2);
        assert_eq!(read(page).report(), expected);
    }

    /// Two replicas, each a pipeline of two stages of two GPUs.
    #[test]
    fn a_request_counts_once_however_many_gpus_it_runs_on() {
        let mut page = String::new();
        for (dp, running) in [(0, 3), (1, 4)] {
            for (pp, tp) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                page += &format!(
                    "sglang:num_running_reqs{{dp_rank=\"{dp}\",engine_type=\"unified\",moe_ep_rank=\"{tp}\",\
                     pp_rank=\"{pp}\",tp_rank=\"{tp}\"}} {}.0\n",
                    running - tp,
                );
            }
        }
        assert_eq!(read(&page).report(), LoadReport::new().running(7));
    }

    #[test]
    fn of_the_adapters_only_the_latest_holds() {
        let series = |active: &str, at: f64| {
            format!(
                "vllm:lora_requests_info{{max_lora=\"2\",running_lora_adapters=\"{active}\",waiting_lora_adapters=\"\"}} {at:?}\n"
            )
        };
        let page = [series("a,b", 5e9), series("c", 9e9), series("", 7e9)].concat();
        assert_eq!(read(&page).into_adapters().unwrap().active, ["c"]);
        let page = [series("a,b", 5e9), series("", 7e9)].concat();
        assert!(read(&page).into_adapters().unwrap().active.is_empty());
        assert_eq!(read("vllm:num_requests_running 1").into_adapters(), None);
    }

    #[test]
    fn what_no_engine_can_mean_says_nothing() {
        for page in [
            "",
            "<html>404</html>",
            "vllm:num_requests_running NaN",
            "vllm:num_requests_running -3",
            "vllm:num_requests_running +Inf",
            "vllm:num_requests_running 1e300",
            "vllm:kv_cache_usage_perc 70",
            "vllm:lora_requests_info{max_lora=\"x\"} 1",
            "other:num_requests_running 3",
            "vllm_num_requests_running_total 3",
        ] {
            let gauges = read(page);
            assert_eq!(gauges.report(), LoadReport::new(), "{page}");
            assert_eq!(gauges.into_adapters(), None, "{page}");
        }
    }

    proptest! {
        #[test]
        fn no_page_is_too_odd(lines in proptest::collection::vec(
            ("(vllm:num_requests_running|vllm:lora_requests_info|sglang:token_usage)",
             "[{]?[\\PC]{0,30}[}]? [-+0-9.eNaInf]{0,8}"), 0..8,
        )) {
            let page: String = lines.iter().map(|(name, rest)| format!("{name}{rest}\n")).collect();
            let gauges = read(&page);
            let _any = gauges.report();
        }

        #[test]
        fn series_add_up_in_any_order(counts in proptest::collection::vec(0_u32..100, 1..8)) {
            let lines = (0..).zip(&counts).map(|(engine, count)| {
                format!("vllm:num_requests_running{{engine=\"{engine}\"}} {count}.0\n")
            });
            let mut lines: Vec<String> = lines.collect();
            let sum = u64::from(counts.iter().sum::<u32>());
            prop_assert_eq!(read(&lines.concat()).report().get_running(), Some(sum));
            lines.reverse();
            prop_assert_eq!(read(&lines.concat()).report().get_running(), Some(sum));
        }
    }
}
