//! Identity or 407. Checking a password is slow on purpose, so it leaves the event loop.

use std::sync::Arc;

use http::HeaderMap;
use http::header::PROXY_AUTHORIZATION;

use tokio::sync::Semaphore;

use super::respond::Problem;
use crate::auth::{Credentials, Identity, Store};

/// Who sent this request to the proxy; `None` when nobody is asked.
pub async fn http(users: Option<&Arc<Store>>, headers: &HeaderMap) -> Result<Option<Identity>, Problem> {
    let Some(users) = users else { return Ok(None) };
    let credentials = headers
        .get(PROXY_AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| Credentials::basic(value).ok())
        .ok_or(Problem::AuthRequired)?;
    check(users, credentials).await.ok_or(Problem::AuthRequired).map(Some)
}

/// The same for a user name and password that came by another way (RFC 1929).
pub async fn check(users: &Arc<Store>, credentials: Credentials) -> Option<Identity> {
    if let Some(identity) = users.remembered(&credentials) {
        return Some(identity);
    }
    // One hash may take two seconds and 256 MiB; a flood of guesses waits in line.
    static AT_ONCE: Semaphore = Semaphore::const_new(4);
    let turn = AT_ONCE.acquire().await.ok()?;
    let users = users.clone();
    let verified = tokio::task::spawn_blocking(move || users.verify(&credentials)).await;
    drop(turn);
    verified.ok().flatten()
}
