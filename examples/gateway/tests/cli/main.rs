//! The gateway as its users have it: a program with flags, files and an exit code.

mod check;
mod closing;
mod explain;
mod files;
mod flags;
#[cfg(feature = "kube")]
mod kube;
#[cfg(feature = "kube")]
mod kubernetes;
mod limits;
mod observing;
mod program;
mod serve;
mod serving;
mod slow_clients;
mod stop;
mod tls;
mod watch;
