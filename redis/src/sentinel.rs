//! Sentinels: they watch a primary, promote a replica when it is gone, and know which it is now.
//!
//! All are asked at once for each new connection, and whatever they name is asked, too, whether it is
//! a primary: one that was cut off from the others may name the former.

use std::time::Duration;

use bb8_redis::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisResult, TlsCertificates,
    cmd,
};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::select;

use crate::error::OpenError;
use crate::primary::{self, Connection, Primary};
use crate::settings::Settings;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sentinels {
    /// What the primary is called, whichever server it is.
    service: String,
    all: Vec<ConnectionInfo>,
    within: Duration,
}

impl Sentinels {
    /// Those of the settings, if there are any. The host of the primary's URL is what they call it.
    ///
    /// # Errors
    /// If one has no URL that could be one.
    pub(crate) fn new(
        settings: &Settings,
        primary: &ConnectionInfo,
        certificates: Option<&TlsCertificates>,
    ) -> Result<Option<Self>, OpenError> {
        if settings.sentinels.is_empty() {
            return Ok(None);
        }
        if matches!(primary.addr(), ConnectionAddr::Unix(_)) {
            return Err(OpenError::Url(None));
        }
        let at = primary::at(primary);
        let service = at.rsplit_once(':').map_or(at.as_str(), |(service, _)| service).to_owned();
        let info = |(number, url): (usize, &String)| {
            primary::info(url, certificates).map_err(|_| OpenError::SentinelUrl(number + 1))
        };
        let all = settings.sentinels.iter().enumerate().map(info).collect::<Result<_, _>>()?;
        Ok(Some(Self { service, all, within: settings.within }))
    }

    /// Goes wherever a Sentinel leads; the first way that ends at a primary counts.
    ///
    /// # Errors
    /// If none does: what each says.
    pub(crate) async fn lead(
        &self,
        primary: &Primary,
    ) -> Result<(ConnectionInfo, Connection), OpenError> {
        let mut asking: FuturesUnordered<_> =
            self.all.iter().map(|sentinel| self.ask(sentinel)).collect();
        let mut reaching = FuturesUnordered::new();
        let (mut named, mut said) = (Vec::new(), Vec::new());
        loop {
            select! {
                Some(answer) = asking.next() => match answer {
                    Ok(place) if named.contains(&place) => {}
                    Ok(place) => {
                        let info = primary.info_of(&place.0, place.1);
                        named.push(place);
                        reaching.push(async move {
                            let reached = primary.reach_at(&info).await;
                            reached.map_err(|error| format!("{}: {error}", primary::at(&info)))
                                .map(|connection| (info, connection))
                        });
                    }
                    Err(why) => said.push(why),
                },
                Some(reached) = reaching.next() => match reached {
                    Ok(reached) => return Ok(reached),
                    Err(why) => said.push(why),
                },
                else => return Err(OpenError::Sentinels(said)),
            }
        }
    }

    /// Where the primary is, as one Sentinel says; or why it says nothing.
    async fn ask(&self, sentinel: &ConnectionInfo) -> Result<(String, u16), String> {
        let at = primary::at(sentinel);
        let asked = self.answer(sentinel).await;
        match asked {
            Ok(Some(place)) => Ok(place),
            Ok(None) => Err(format!(
                "{at} (Sentinel) watches nothing called \"{}\": the host in redis.url must be the \
                 name behind `sentinel monitor`",
                self.service
            )),
            Err(error) => match OpenError::from_redis(error, &at) {
                OpenError::Absent { .. } => Err(format!("{at} (Sentinel): nobody answers there")),
                OpenError::Refused(error) => {
                    Err(format!("{at} (Sentinel): {error}: is it a Sentinel?"))
                }
                error => Err(format!("{at} (Sentinel): {error}")),
            },
        }
    }

    async fn answer(&self, sentinel: &ConnectionInfo) -> RedisResult<Option<(String, u16)>> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.within))
            .set_response_timeout(Some(self.within));
        let client = Client::open(sentinel.clone())?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut question = cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        question.query_async(&mut connection).await
    }
}
