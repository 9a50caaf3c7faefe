#![allow(
    unsafe_code,
    reason = "a function for special instructions may be called only where they are"
)]

use std::sync::LazyLock;

use super::questions::Work;
#[cfg(target_arch = "x86_64")]
use super::{avx2, sse2};

/// The instructions in use. The machine is known to have them: only this file
/// creates a value, and only after detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine(Instructions);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Sse2,
    Portable,
}

impl Machine {
    /// The fastest kernel.
    pub(crate) fn best() -> Self {
        static BEST: LazyLock<Machine> = LazyLock::new(Machine::detected);
        *BEST
    }

    /// `--cfg tower_model_route_portable` switches all kernels off, for benches/peek.
    fn detected() -> Self {
        if cfg!(tower_model_route_portable) {
            return Self(Instructions::Portable);
        }
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("pclmulqdq")
            {
                return Self(Instructions::Avx2);
            }
            if is_x86_feature_detected!("sse2") {
                return Self(Instructions::Sse2);
            }
        }
        Self(Instructions::Portable)
    }

    /// All kernels that this machine can run.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn all() -> Vec<Self> {
        let best = Self::best();
        let mut all = vec![best];
        #[cfg(target_arch = "x86_64")]
        if best == Self(Instructions::Avx2) {
            all.push(Self(Instructions::Sse2));
        }
        if best != Self(Instructions::Portable) {
            all.push(Self(Instructions::Portable));
        }
        all
    }

    pub(crate) fn run<W: Work>(self, work: W) -> W::Done {
        match self.0 {
            // SAFETY: its target features were detected, by the type's invariant.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { avx2::run(work) },
            // SAFETY: as above; a machine with AVX2 has SSE2.
            #[cfg(target_arch = "x86_64")]
            Instructions::Sse2 => unsafe { sse2::run(work) },
            Instructions::Portable => work.by_words(),
        }
    }
}
