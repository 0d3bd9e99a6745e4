//! The account as a whole: its devices at the server, its export, and its end.

use hushwire_wire::DeviceId;
use hushwire_wire::http::{Session, Sessions};

use super::Engine;
use super::call::judge;
use crate::client::OwnDevice;
use crate::error::ClientError;
use crate::transport::{BODY_MAX, Call, Download, Method, Reply};

/// Devices in one answer, at most.
const SESSIONS_MAX: usize = 8;

impl Engine {
    pub(super) async fn sessions(&mut self) -> Result<Vec<OwnDevice>, ClientError> {
        let Sessions { sessions } = self.get("/v1/sessions".to_owned()).await?;
        if sessions.len() > SESSIONS_MAX {
            return Err(ClientError::Nonsense);
        }
        let own = |Session { device, kind, since, live, .. }: Session| OwnDevice {
            device,
            kind,
            since_ms: since,
            live,
            current: device == self.account.device,
        };
        Ok(sessions.into_iter().map(own).collect())
    }

    pub(super) async fn end_session(&mut self, device: DeviceId) -> Result<(), ClientError> {
        let path = format!("/v1/sessions/{}", device.to_base64url());
        self.signed(Method::Delete, path, None).await.map(|_| ())
    }

    /// The export as it comes. A refusal is read whole.
    pub(super) async fn export(&mut self) -> Result<Download, ClientError> {
        self.settle()?;
        for last in [false, true] {
            let token = Some(self.token(last).await?);
            let path = "/v1/account/export".to_owned();
            let call = Call { method: Method::Get, path, token, body: None };
            let mut download = self.transport.download(call).await?;
            if download.status == 200 {
                return Ok(download);
            }
            if download.status != 401 || last {
                let mut reply = Reply { status: download.status, body: Vec::new() };
                while let Some(piece) = download.chunks.recv().await {
                    reply.body.extend_from_slice(&piece?);
                    if reply.body.len() > BODY_MAX {
                        return Err(ClientError::Nonsense);
                    }
                }
                return judge(reply).and(Err(ClientError::Nonsense));
            }
        }
        Err(ClientError::Nonsense)
    }

    /// Deletes the account at the server. What is here is erased by whoever owns this engine, and
    /// only after this has returned without an error.
    pub(super) async fn delete_account(&mut self) -> Result<(), ClientError> {
        let proof = self.proof().await?;
        let body = serde_json::to_vec(&proof).map_err(|_| ClientError::Nonsense)?;
        // A proof is good once: a token that is too old must not use it up.
        let token = Some(self.token(true).await?);
        self.settle()?;
        let path = "/v1/account".to_owned();
        let call = Call { method: Method::Delete, path, token, body: Some(body) };
        judge(self.transport.call(call).await?).map(|_| ())
    }
}
