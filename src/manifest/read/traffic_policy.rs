//! A ModelServer's `trafficPolicy`.

use std::time::Duration;

use super::{
    fields::{Field, Object, Reader},
    kthena,
    server_manifest::ServerManifest,
};
use crate::{
    config::{HashKey, SessionSticky},
    manifest::options::own_retries,
};

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
        if let Some(field) = policy.get("sessionSticky")
            && let Some(sticky) = session_sticky(&field, reader)
        {
            self.change_policy(|policy| policy.session_sticky(sticky));
            self.origin.add_option("sessionSticky", field.spot(reader));
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
            reader.warning(&spot, "no-timeout", "a timeout of 0 means none");
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

/// `None` after an error.
fn session_sticky(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<SessionSticky> {
    let sticky = field.object(reader, &["sessionAffinitySeconds", "sources"])?;
    let seconds = match sticky.get("sessionAffinitySeconds") {
        Some(field) => field.number(reader, 1, i32::MAX as u64)?,
        None => 300,
    };
    let fields = sticky.list("sources", reader);
    match sticky.get("sources") {
        Some(field) if !fields.is_empty() => {
            kthena::at_most(&field, fields.len(), 16, "sources", reader);
        }
        _ => {
            let spot = sticky.spot_of(reader, "sources");
            reader.error(
                &spot,
                "no-session-sources",
                "there are no sources of session keys",
            );
            return None;
        }
    }
    let sources: Vec<_> = fields.iter().map(|field| source(field, reader)).collect();
    let sources = sources.into_iter().collect::<Option<Vec<_>>>()?;
    Some(SessionSticky::new(sources).idle_for(Duration::from_secs(seconds)))
}

/// One source of session keys.
fn source(field: &Field<'_>, reader: &mut Reader<'_>) -> Option<HashKey> {
    let source = field.object(reader, &["type", "name"])?;
    let kind = match source.get("type") {
        Some(kind) => kind.one_of(reader, &["Header", "Query", "Cookie", "JWTClaim"]),
        None => missing(&source, "type", reader),
    };
    let name = match source.named("name") {
        Some(name) if kind == Some("Header") => name.header_name(reader),
        Some(name) => name.text(reader),
        None => missing(&source, "name", reader),
    };
    let name = name?.to_owned();
    Some(match kind? {
        "Header" => HashKey::Header(name),
        "Query" => HashKey::Query(name),
        "Cookie" => HashKey::Cookie(name),
        _ => {
            let message = format!(
                "no token is verified here: a layer above has to put the claim {name:?} into the \
                 request's AffinityKeys, or this source finds nothing"
            );
            let spot = source.spot_of(reader, "type");
            reader.warning(&spot, "jwt-claim-from-extension", message);
            HashKey::Extension(name)
        }
    })
}

fn missing<T>(source: &Object<'_>, name: &str, reader: &mut Reader<'_>) -> Option<T> {
    let spot = source.spot_of(reader, name);
    reader.error(&spot, "invalid-value", format!("there is no {name}"));
    None
}
