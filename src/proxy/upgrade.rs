//! After a 101: the two upgraded ends are joined and relayed as bytes.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::finish::Ending;
use super::{Gateway, spawn, tunnel};
use crate::audit::{Stage, Verdict};
use crate::message::reason::Code;

/// Joins both ends as soon as both have changed protocols.
pub fn join(gateway: &Arc<Gateway>, client: OnUpgrade, origin: OnUpgrade, mut ending: Ending) {
    ending.stage(Stage::Upgrade);
    let shared = gateway.clone();
    spawn(gateway, async move {
        match tokio::try_join!(client, origin) {
            Ok((client, origin)) => {
                ending.note(|record| record.verdict = Verdict::Passed);
                let (client, origin) = (TokioIo::new(client), TokioIo::new(origin));
                let ended = tunnel::pipe(client, origin, &shared.limits, &mut ending).await;
                ending.note(|record| {
                    record.stage = Stage::Done;
                    record.sentence = ended.in_words().unwrap_or_default().into();
                });
            }
            Err(error) => ending.broke(Code::ClientGone, format!("the upgrade was not completed: {error}")),
        }
    });
}
