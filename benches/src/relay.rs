//! The bare relay: the floor that the server is held against. Same socket layer and frame codec,
//! no sign-in, no limiter, no queue, no acks (benches/README.md describes its behaviour).
//!
//! It must not know users, contacts or epochs: a name is whatever the first frame says.

mod lane;
mod socket;

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use actix::Actor as _;
use actix_codec::{AsyncRead, AsyncWrite, Framed};
use actix_http::body::{BodySize, BoxBody};
use actix_http::{ConnectionType, HttpService, Request, Response, StatusCode, h1, ws};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::{App, HttpResponse, web};
use bytes::BytesMut;
use futures_util::SinkExt as _;
use hushwire_wire::{Encoding, UserId};

use self::lane::Lane;
use self::socket::Socket;

/// Who can be reached: the latest socket that said this name.
///
/// Bound: one entry for each socket that is open.
#[derive(Debug, Default)]
struct Names(Mutex<HashMap<UserId, Arc<Lane>>>);

impl Names {
    fn set(&self, user: UserId, lane: Arc<Lane>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(user, lane);
    }

    fn get(&self, user: &UserId) -> Option<Arc<Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(user).cloned()
    }

    /// Forgets `user`, unless a newer socket has the name.
    fn forget(&self, user: &UserId, lane: &Arc<Lane>) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.get(user).is_some_and(|held| Arc::ptr_eq(held, lane)) {
            names.remove(user);
        }
    }
}

/// Serves until the process ends, with `workers` threads.
///
/// # Errors
/// If the listener cannot be used.
pub(crate) async fn serve(listener: TcpListener, workers: usize) -> io::Result<()> {
    let local = listener.local_addr()?;
    let names = Arc::new(Names::default());
    actix_server::Server::build()
        .workers(workers)
        .backlog(4096)
        .listen("relay", listener, move || {
            let names = Arc::clone(&names);
            let app = App::new().route("/", web::get().to(HttpResponse::NoContent));
            HttpService::build()
                .client_request_timeout(Duration::from_secs(5))
                .client_disconnect_timeout(Duration::from_secs(1))
                .tcp_nodelay(true)
                .local_addr(local)
                .upgrade(fn_service(move |(request, framed)| {
                    upgrade(request, framed, Arc::clone(&names))
                }))
                .finish(map_config(
                    app.into_factory().map_err(|error: actix_web::Error| error.error_response()),
                    |()| AppConfig::default(),
                ))
                .tcp()
        })?
        .run()
        .await
}

/// Why an upgrade failed: the connection is gone.
#[derive(Debug)]
struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection ended during the upgrade")
    }
}

impl From<Gone> for Response<BoxBody> {
    fn from(_: Gone) -> Self {
        Self::internal_server_error()
    }
}

/// Answers the upgrade, takes the raw stream and starts the actor that owns it.
async fn upgrade<T>(
    request: Request,
    mut framed: Framed<T, h1::Codec>,
    names: Arc<Names>,
) -> Result<(), Gone>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let protocol = Encoding::Cbor.subprotocol();
    let wanted = request
        .head()
        .headers()
        .get("sec-websocket-protocol")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|list| list.split(',').any(|name| name.trim() == protocol));
    let answer = if !wanted {
        Err(Response::new(StatusCode::BAD_REQUEST))
    } else {
        match ws::handshake(request.head()) {
            Ok(mut answer) => {
                answer.insert_header(("sec-websocket-protocol", protocol));
                answer.message_body(()).map_err(|_| Response::internal_server_error())
            }
            Err(error) => Err(Response::from(error)),
        }
    };
    match answer {
        Err(refusal) => {
            let mut refusal = refusal.drop_body();
            refusal.head_mut().set_connection_type(ConnectionType::Close);
            let message = h1::Message::Item((refusal, BodySize::Sized(0)));
            framed.send(message).await.map_err(|_| Gone)?;
            framed.close().await.map_err(|_| Gone)?;
        }
        Ok(answer) => {
            let message = h1::Message::Item((answer, BodySize::None));
            framed.send(message).await.map_err(|_| Gone)?;
            let parts = framed.into_parts();
            // Copied out: the read buffer is a block of 8 KiB.
            let early = BytesMut::from(&parts.read_buf[..]);
            let io = parts.io;
            drop((parts.codec, parts.read_buf, parts.write_buf, request));
            Socket::new(io, early, names).start();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use hushwire_wire::frame::{ClientFrame, ClientOp, Send, ServerOp};
    use hushwire_wire::message::{Class, Header, write_upload};
    use hushwire_wire::{EpochId, Mid};

    use super::*;
    use crate::line::Line;
    use crate::person::Person;

    /// A relay on a thread of its own, which ends with the test's process.
    fn start() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(|| actix::System::new().block_on(serve(listener, 1)));
        address
    }

    fn upload(ct: usize) -> Vec<u8> {
        let header = Header {
            class: Class::Text,
            sender: 0,
            lane: 0,
            counter: 0,
            epoch: EpochId([1; 32]),
            mid: Mid([2; 16]),
        };
        write_upload(&header, &[3; 32], &vec![4; ct], &[[5; 16]])
    }

    #[tokio::test]
    async fn a_message_goes_from_socket_to_socket() {
        let address = start();
        let person = |number| Person::new("relay.test", number, 1_795_000_000_000).unwrap();
        let (one, other) = (person(1), person(2));
        let (mut from, mut to) =
            (Line::open(address).await.unwrap(), Line::open(address).await.unwrap());
        from.say_name(&one).await.unwrap();
        to.say_name(&other).await.unwrap();
        for (n, ct) in [(1, 272), (2, 65_552), (3, 272)] {
            let upload = upload(ct);
            let send = Send {
                to: other.user(),
                sn: n,
                upload: upload.clone().into(),
                withdraw: Vec::new(),
                re: None,
            };
            from.send(&ClientFrame { id: None, op: ClientOp::Send(send) }).await.unwrap();
            let ServerOp::Message(message) = to.next().await.unwrap().op else {
                panic!("no message")
            };
            assert_eq!((message.n, message.from_user), (n, one.user()));
            let (shared, tag) = upload.split_at(upload.len() - 17);
            assert_eq!(message.msg.as_bytes(), [shared, &tag[1..]].concat());
        }
    }

    #[tokio::test]
    async fn garbage_ends_its_own_connection_only() {
        let address = start();
        let one = Person::new("relay.test", 1, 1_795_000_000_000).unwrap();
        let mut bad = Line::open(address).await.unwrap();
        bad.send_encoded(vec![0xff; 10]).await.unwrap();
        assert!(bad.next().await.is_err());
        let mut good = Line::open(address).await.unwrap();
        good.say_name(&one).await.unwrap();
    }
}
