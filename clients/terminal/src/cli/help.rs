//! The texts of the help: they teach, and the tests hold them to what there is.

pub(super) const ABOUT: &str =
    "Chat with end-to-end encryption: the server routes what it cannot read.";

pub(super) const EXAMPLES: &str = "\
Examples:
  hush register alice --server https://chat.example.org
      Makes keys in this computer's data folder and takes the name. No e-mail, no password.
  hush contacts add bob
      Asks bob. He answers with `hush contacts accept alice`. Both take the link that the other
      one's `hush whoami` prints instead of a name: it admits nobody else.
  hush contacts verify bob
      Shows the safety number. Compare it with bob's, in person or on the telephone.
  hush chat bob
      Talk. Ctrl-D ends.
  hush contacts block mallory
      Nothing of mallory arrives any more, and mallory is not told.
  echo \"The build is green\" | hush send bob - --wait delivered --timeout 120
  hush listen --json | jq -r 'select(.event == \"message\") | .text'

Exit codes:
  0  done                          3  not as far as asked for in time; it stays in the outbox
  1  failed                        4  the server cannot be reached now: try again later
  2  wrong use                   130  ended by Ctrl-C before it was done
Ctrl-C and SIGTERM end `chat` and `listen` with 0: that is how they are meant to end.

One program at a time uses a folder: while `hush chat` runs, other commands with the same --home
say so and end. Colours are used on a terminal only, and never when NO_COLOR is set.";

pub(super) const JSON: &str = "\
JSON lines (--json): one object a line, flushed at once. \"event\" is one of
  connected                                signed in
  disconnected   why, retry_in_ms          null: not tried again by itself
  message        id, from, text, sent_ms, at_ms[, reply_to][, from_removed]
  waiting        from                      somebody else wrote: it stays for `hush chat` with them
  queued         id, to, text[, items]     written down in the outbox; items: ids of several texts
  held           id, for_ms                the server takes one message in 10 seconds
  sent           id                        left this device
  accepted       id[, skipped]             the server has it; so many devices will not get it
  delivered      id                        a device of the recipient has it
  read           from, of                  ids that a person read
  edited         id, from, text            the words of a message are now these
  removed        id, with                  a message was taken back by its author
  withdrawn      id                        taken back before it left this device
  reacted        id, with, by, symbol      an empty symbol: the reaction was taken back
  timer          with[, by], seconds       messages disappear so long after they were seen; 0: off
  disappeared    id, with                  the time of a message has come
  profile        from, name                how a contact wants to be shown; null: no name
  typing         from, on                  whether a contact is typing
  presence       from, on                  whether a contact who shows it is there
  gap            with, count               so many messages did not fit while you were away
  unreadable     id, code                  a device of the recipient could not open it
  expired        id                        waited 30 days for a device that did not come
  failed         id, code, why             will not be sent
  resynced       again                     the server lost its queues; so many were sent again
  contact_request  from
  contact_accepted with
  alarm          code, words               a person must know this
  trouble        trouble[, contact], words a person should know this
  missed         count                     events left out because nobody read them
  refused        why                       a line that cannot be sent
  outbox         unaccepted                at the end: so many wait for the next start
Ids are base64url of 16 bytes. Times are milliseconds, since 1970 for *_ms of messages. Keys are
not removed or renamed; new ones may come. Characters that steer a terminal are written \\uXXXX.";

pub(super) const REGISTER: &str = "\
Takes a username at a server and makes this device's keys. They never leave this computer; there
is no way to get them back from the server. The server's domain becomes part of your identity.";

pub(super) const VERIFY: &str = "\
Shows the safety number of a conversation: twelve groups of five digits, the same on both sides if
nobody stands between you. Compare it in person, or on the telephone if you know the voice; not
through this chat. Compare only when both of you see the same two device-log entries: a number
changes with every new device.

On a terminal it asks whether the numbers were equal and remembers the answer. Without a terminal
it only shows the number; --yes NUMBER says that this one was compared, and is refused if another
one is shown now, because the devices changed in between.";

pub(super) const EDIT: &str = "\
Gives one of your messages other words, on both sides. Only the author of a message can; who has
seen the old words may remember them. The server's 10-second rule counts an edit like a message.
Example:
  hush edit bob last \"See you at seven, not at six\"";

pub(super) const SEND: &str = "\
Sends one message and waits until the server has it. It is written down first: what does not leave
in time stays in the outbox, and the next `hush` that connects sends it.
Examples:
  hush send bob \"See you at six\"
  hush send bob - < notes.txt              the standard input, as one message
  hush send bob \"One\" \"Two\" \"Three\"        three texts at once
  hush send bob \"Are you there?\" --wait delivered --timeout 120";

pub(super) const REACT: &str = "\
Puts one character or emoji beside a message of either side; both see it. It replaces your earlier
one. No 10-second rule holds it up.
Examples:
  hush react bob last +             his last message
  hush react bob kX3f0_-a --off     takes it back; `hush history bob --ids` shows ids";

pub(super) const ACKNOWLEDGE: &str = "\
After safety numbers were compared, nothing is sent to a contact's new devices until you say that
you know of them. Ask the person first, not through this chat. To compare the numbers again with
`hush contacts verify` is better: it says the same, and shows that nobody stands between you.";

pub(super) const HISTORY_JSON: &str = "\
JSON lines (--json): as the event `message` of `hush listen --json`, and if they are there
  stage      of your own: waiting, sent, accepted, delivered, read or failed
  edited, removed                     true
  reactions                           a list of {from, symbol}
  gone_ms                             when it disappears
A mark where messages are missing is the event gap instead: from, missed (how many), at_ms.";

pub(super) const REMOVE: &str = "\
Takes one of your messages back: its words are erased here, and by the other side's client when it
hears of it. Nobody can make a person forget, or a client that was changed. A message that has not
left this device is simply not sent. No rule holds a removal up.";

pub(super) const TIMER: &str = "\
Messages with a contact disappear from both histories after a time: your own so long after the
server took them, theirs so long after you were shown them. It holds for messages from now on, and
for both sides; either can change it, and the later change holds. It is a promise between two
clients, not a protection from a person who keeps copies.
Examples:
  hush timer bob          shows it
  hush timer bob 7d       30s, 5m, 8h, 7d, 4w
  hush timer bob off";

pub(super) const PROFILE: &str = "\
The name that your contacts see beside your username. It goes to contacts only, encrypted; the
server does not see it. Anybody can take any name: only the username and the safety number tell who
it is.";

pub(super) const CHAT: &str = "\
On a terminal: a line is a message; what comes in appears above the line; behind the cursor stands
how far your newest message has come:
  goes in 7 s     the server takes one message in 10 seconds; it is sent by itself
  waits, offline  it is sent when the connection is back
  sent            on its way
  \u{2713} accepted      the server has it, and keeps it until it is delivered
  \u{2713}\u{2713} delivered    a device of the other person has it
Ctrl-D or Ctrl-C ends. What was not sent stays in the outbox.

While you type, the other side sees that you do (--no-typing: not), and you see when
they do. Who shows that they are there (`hush presence`) is told when they come and go.

Lines that begin with / are commands; /help lists them, //x sends /x:
  /edit WORDS    /remove    /react SYMBOL    /timer TIME

When the input is not a terminal, every line is sent as it is (unless --commands is given), and
the program ends when the input has ended and the server has all of it, or 60 seconds later with
exit code 3.";

pub(super) const REMOVE_CONTACT: &str = "\
Ends a contact, for both of you. The keys of your conversation are erased here, what waits to be
sent is given up, and nothing reaches either of you any more. The history on this device stays. The
other side is not told: its messages are refused as if you were gone. To talk again takes a new
request and its acceptance. A request of your own that was not answered is forgotten.

On a terminal it asks; elsewhere it takes --yes.";

pub(super) const BLOCK: &str = "\
As `hush contacts remove`, and more: what waits for you from that person is dropped unread, and no
request from them reaches you until `hush contacts unblock`. They are not told, and cannot tell it
from being removed. Contacts, former contacts and people who ask you can be blocked. Unblocking
restores nothing: they may ask again, no more.

On a terminal it asks; elsewhere it takes --yes.";

pub(super) const PRESENCE: &str = "\
Whether your contacts see that you are there while a `hush` of yours is connected, `chat` or
`listen` for example. It is mutual, as the server allows it no other way: you see contacts who show
themselves to you, as long as you show yourself to them. The server sees it, too. It is off until
you turn it on, and remembered then.
Examples:
  hush presence                     says how it is now
  hush presence on                  for all contacts; of more than 256, those you heard of last
  hush presence on --to bob --to carol
  hush presence off";

pub(super) const SESSIONS_END: &str = "\
Ends the connection and the tokens of one of your devices. It can sign in again: whoever holds its
keys is not shut out by this. If a device was stolen, this is not enough.";

pub(super) const ACCOUNT_EXPORT: &str = "\
Writes what the server holds of your account into a new file that only you can read: log, devices,
contacts, keys of conversations as the server sees them, recent changes. Messages are not in it:
the server cannot read them and keeps none that were delivered. A few exports an hour are allowed.";

pub(super) const ACCOUNT_DELETE: &str = "\
Deletes your account at the server, for ever: contacts, requests and what waits for you. Your
contacts are told that you are gone. Nobody, you included, can take the username again. When the
server has confirmed it, and not before, the store on this computer is erased, with the history in
it. What other people received stays with them.

On a terminal it asks you to type your username; elsewhere it takes --yes USERNAME.";
