//! A ModelServer's `trafficPolicy`.

use super::{
    fields::{Field, Object, Reader},
    kthena,
    server_manifest::ServerManifest,
};
use crate::manifest::options::own_retries;

const POLICY: [&str; 4] = ["timeout", "retry", "connectionPool", "sessionSticky"];

impl ServerManifest {
    pub(super) fn read_policy(&mut self, field: &Field<'_>, reader: &mut Reader<'_>) {
        let Some(policy) = field.object(reader, &POLICY) else {
            return;
        };
        self.origin.policy = Some(field.spot(reader));
        self.read_timeout(&policy, reader);
        self.read_retry(&policy, reader);
        if let Some(pool) = policy.get("connectionPool") {
            let message = "connections are those of the HTTP client, and are configured there";
            reader.not_acted_on(&pool, message);
            connection_pool(&pool, reader);
        }
        if let Some(sticky) = policy.get("sessionSticky") {
            let message = "sessions are not bound to endpoints: the balance ConsistentHash comes \
                           closest";
            reader.not_acted_on(&sticky, message);
            session_sticky(&sticky, reader);
        }
    }

    fn read_timeout(&mut self, policy: &Object<'_>, reader: &mut Reader<'_>) {
        let Some(field) = policy.get("timeout") else {
            return;
        };
        let Some(time) = field.duration(reader) else {
            return;
        };
        let spot = field.spot(reader);
        if time.is_zero() {
            reader.warning(&spot, "no-timeout", "a timeout of 0 is taken for none");
        } else {
            self.change_policy(|policy| policy.timeout(time));
            self.origin.add_option("timeout", spot);
        }
    }

    fn read_retry(&mut self, policy: &Object<'_>, reader: &mut Reader<'_>) {
        let Some(retry) = policy.get("retry") else {
            return;
        };
        self.origin.has_retry = true;
        self.change_policy(own_retries);
        let Some(retry) = retry.object(reader, &["attempts", "retryInterval"]) else {
            return;
        };
        if let Some(attempts) = retry.get("attempts")
            && let Some(attempts) = attempts.number(reader, 0, i32::MAX as u64)
        {
            self.change_policy(|policy| policy.max_retries(attempts as u32));
        }
        if let Some(field) = retry.get("retryInterval")
            && let Some(interval) = field.duration(reader)
        {
            self.change_policy(|policy| policy.retry_interval(interval));
            self.origin.add_option("retryInterval", field.spot(reader));
        }
    }
}

fn connection_pool(field: &Field<'_>, reader: &mut Reader<'_>) {
    const POOL: [&str; 4] = [
        "maxIdleConnections",
        "maxIdleConnectionsPerHost",
        "maxConnectionsPerHost",
        "idleTimeout",
    ];
    let Some(pool) = field.object(reader, &POOL) else {
        return;
    };
    for name in &POOL[..3] {
        if let Some(field) = pool.get(name) {
            kthena::number(&field, 0, i64::MAX, reader);
        }
    }
    if let Some(field) = pool.get("idleTimeout") {
        kthena::time(&field, reader);
    }
}

fn session_sticky(field: &Field<'_>, reader: &mut Reader<'_>) {
    let Some(sticky) = field.object(reader, &["sessionAffinitySeconds", "sources"]) else {
        return;
    };
    if let Some(field) = sticky.get("sessionAffinitySeconds") {
        kthena::number(&field, 1, i64::MAX, reader);
    }
    let sources = sticky.list("sources", reader);
    match sticky.get("sources") {
        Some(field) if !sources.is_empty() => {
            kthena::at_most(&field, sources.len(), 16, "sources", reader);
        }
        _ => {
            let spot = sticky.spot_of(reader, "sources");
            kthena::refused(reader, &spot, "there are no sources");
        }
    }
    for source in sources {
        if let Some(source) = source.object(reader, &["type", "name"]) {
            kthena::required(&source, "name", reader);
            match source.get("type") {
                Some(field) => {
                    let known = ["Header", "Query", "Cookie", "JWTClaim"];
                    kthena::one_of(&field, &known, reader);
                }
                None => kthena::required(&source, "type", reader),
            }
        }
    }
}
