//! Bob with the real SDK, and Mallory, his contact, who has real keys and breaks the rules; the
//! server shows him whatever she likes.

use hushwire_client::Code;
use hushwire_wire::frame::{self, EventKind, ServerOp};
use hushwire_wire::http::{
    Contact, ContactState, Contacts, EpochBundle, EpochPost, EpochRef, Problem, ProblemCode,
};
use hushwire_wire::{Encoding, EpochId, Sealed};

use crate::support::Server;
use crate::support::forge::Epoch;
use crate::support::insider::Insider;
use crate::support::victim::{Victim, alarms, server};

pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) bob: Victim,
    pub(crate) mallory: Insider,
    /// The number of the next epoch.
    pub(crate) next: u32,
}

impl Scene {
    pub(crate) async fn set() -> Self {
        Self::set_before(server()).await
    }

    pub(crate) async fn set_before(server: Server) -> Self {
        let mut bob = Victim::register(&server, "bob").await;
        let mallory = Insider::befriend(&server, "mallory", &mut bob).await;
        Self { server, bob, mallory, next: 1 }
    }

    /// The next epoch as it should be.
    pub(crate) fn honest(&self) -> Epoch {
        self.mallory.next(self.next, &self.mallory.epoch)
    }

    /// Bob is shown this epoch with Mallory's honest wrap, and refuses it without a trace. Gives
    /// the alarms.
    pub(crate) async fn refuses(&mut self, epoch: &Epoch, code: Code) -> Vec<Code> {
        let wrap = self.mallory.wrap(epoch);
        self.refuses_wrap(epoch, wrap, code).await
    }

    /// As [`Self::refuses`], with any wrap.
    pub(crate) async fn refuses_wrap(
        &mut self,
        epoch: &Epoch,
        wrap: Vec<u8>,
        code: Code,
    ) -> Vec<Code> {
        self.bob.evil.show(&epoch.path(), &self.mallory.bundle(epoch, wrap));
        self.refuses_shown(epoch, code).await
    }

    /// As [`Self::refuses`], of an epoch that is shown already.
    pub(crate) async fn refuses_shown(&mut self, epoch: &Epoch, code: Code) -> Vec<Code> {
        let message = self.mallory.text(epoch, 0, "never shown");
        alarms(&self.bob.refuses("mallory", message, code).await)
    }

    /// The server says that this is the pair's newest epoch.
    pub(crate) async fn names_newest(&self, epoch: &Epoch) {
        let newest = Some(EpochRef { n: epoch.header.n, epoch: epoch.header.id() });
        let (peer, state, request) =
            (self.mallory.user(), ContactState::Active, Sealed::new(vec![0]));
        let contacts = vec![Contact { peer, state, request, newest }];
        self.bob.evil.show("/v1/contacts", &Contacts { v: 9, contacts });
        let news = frame::Event { v: 9, kind: EventKind::Epoch, peer: Some(peer) };
        self.bob.evil.say(ServerOp::Event(news)).await;
    }

    /// Bob is shown this epoch, and takes it.
    pub(crate) async fn takes(&mut self, epoch: &Epoch) {
        let wrap = self.mallory.wrap(epoch);
        self.bob.evil.show(&epoch.path(), &self.mallory.bundle(epoch, wrap));
        self.takes_shown(epoch).await;
    }

    /// Bob takes an epoch that is shown already.
    pub(crate) async fn takes_shown(&mut self, epoch: &Epoch) {
        self.bob.shows(self.mallory.text(epoch, 0, "honest"), "honest").await;
        self.mallory.epoch = epoch.clone();
        self.next = epoch.header.n + 1;
    }

    /// What the honest server says to this post.
    pub(crate) async fn posts(&self, epoch: &Epoch, wrap: &[u8]) -> Result<(), Problem> {
        let post = EpochPost { peer: self.bob.user, epoch: self.mallory.posted(epoch, wrap) };
        let person = &self.mallory.person;
        let reply = person.http.post("/v1/epochs", person.token(), &post).await;
        if reply.status.is_success() { Ok(()) } else { Err(reply.problem()) }
    }

    /// As [`Self::posts`], when it refuses.
    pub(crate) async fn server_refuses(&self, epoch: &Epoch) -> ProblemCode {
        let wrap = self.mallory.wrap(epoch);
        self.posts(epoch, &wrap).await.unwrap_err().code
    }

    /// The newest epoch that the honest server has.
    pub(crate) async fn newest(&self) -> EpochRef {
        self.mallory.person.contacts().await.contacts[0].newest.unwrap()
    }

    /// An epoch of bob's as Mallory has it from the server, opened.
    pub(crate) async fn opened(&self, id: &EpochId) -> Epoch {
        let mallory = &self.mallory.person;
        let path = format!("/v1/epochs/{}", id.to_base64url());
        let bundle: EpochBundle = mallory.http.get(&path, mallory.token()).await.ok();
        self.mallory.opens(bundle.header.as_bytes(), bundle.wrap.unwrap().as_bytes())
    }

    /// The epoch of the next message that the server has for Mallory.
    pub(crate) async fn received(&self) -> EpochId {
        let (mut socket, _) = self.mallory.person.connect(Encoding::Cbor).await;
        let message = socket.event(|op| match op {
            ServerOp::Message(message) => Some(message),
            _ => None,
        });
        EpochId::from_slice(&message.await.msg.as_bytes()[8..40]).unwrap()
    }
}
