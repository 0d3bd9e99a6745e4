-- Who sent what and how often, for all nodes together. The rules are those of actors/src/admit.rs and
-- actors/src/limiter.rs, and a test compares them.
--
-- KEYS: the generation's, and the user's `sent`, from which the others' names follow.
-- ARGV: the generation believed in, the time or nothing, then the function's own.
--
-- A record is, by sending device and recipient (its line): `sn 8, mid 16, hash 32, epoch 32,
-- counter 4, state 1, under_way 2, repeats 4, at 8, routed 8, answer`. What was sent again after a
-- loss is kept beside it, by number.

local ADMITTED, REFUSED, ACCEPTED = 'd', 'r', 'a'
local REPEAT_EVERY_MS, REPEATS_FAST, REPEAT_SLOWLY_MS = 2000, 20, 60000
local AGAIN_MESSAGES, AGAIN_BYTES, AGAIN_PER_SECOND = 1000, 4194304, 5
local LANDS_WITHIN_MS = 15000
-- Fields of what was sent again that are no numbers.
local AGAIN_FIELDS = 4
local EXPIRED_AT_ONCE = 100
local STAMP_TTL_MS = 7 * 24 * 60 * 60 * 1000

local Sent = {}
Sent.__index = Sent

local function open_sent(keys, args)
  local self = setmetatable({}, Sent)
  local base = keys[2]:sub(1, -5)
  self.records, self.order, self.pace = keys[2], base .. 'order', base .. 'pace'
  self.v, self.again = base .. 'v', base .. 'again:'
  self.gen, self.now = args[1], now_ms(args[2])
  -- What another generation recorded as accepted may be lost.
  self.is_known = redis.call('HGET', self.records, 'gen') == self.gen
  return self
end

local function parse_record(bytes)
  local r = {}
  r.sn, r.mid, r.hash, r.epoch = bytes:sub(1, 8), bytes:sub(9, 24), bytes:sub(25, 56), bytes:sub(57, 88)
  r.counter, r.state = bytes:sub(89, 92), bytes:sub(93, 93)
  r.under_way, r.repeats, r.at, r.routed = struct.unpack('>I2I4dd', bytes, 94)
  r.answer = bytes:sub(116)
  return r
end

function Sent:record(line)
  local bytes = self.is_known and redis.call('HGET', self.records, line)
  return bytes and parse_record(bytes) or nil
end

function Sent:put(line, r)
  redis.call('HSET', self.records, line, r.sn .. r.mid .. r.hash .. r.epoch .. r.counter .. r.state
    .. struct.pack('>I2I4dd', math.min(r.under_way, 65535), r.repeats, r.at, r.routed) .. r.answer)
end

-- Makes an offer's record out of another's, or anew.
local function replace(r, offer, now)
  local at = now
  if r and r.sn == offer.sn then at = r.at end
  return {
    sn = offer.sn, mid = offer.mid, hash = offer.hash, epoch = offer.epoch,
    counter = offer.counter, state = ADMITTED, under_way = r and r.under_way or 0,
    repeats = 0, at = at, routed = now, answer = '',
  }
end

-- What was sent again in this generation on a line; nil if nothing was.
function Sent:sent_again(line, r, gen)
  if not r then return nil end
  local a = redis.call('HMGET', self.again .. line, 'gen', 'bytes', 'second', 'count')
  if a[1] ~= gen then return nil end
  return { bytes = tonumber(a[2]), second = tonumber(a[3]), count = tonumber(a[4]) }
end

local function is_in_second(again, now)
  return again.second <= now and now < again.second + 1000
end

function Sent:look_again(line, r, offer)
  local again = self:sent_again(line, r, offer.re)
  if not again then return 'resubmitted' end
  local key = self.again .. line
  if is_in_second(again, self.now) and again.count >= AGAIN_PER_SECOND then
    return 'too often', again.second + 1000 - self.now
  end
  local seen = redis.call('HGET', key, offer.sn)
  local full = not seen and redis.call('HLEN', key) - AGAIN_FIELDS >= AGAIN_MESSAGES
  if full or (seen ~= offer.mid and again.bytes + offer.size > AGAIN_BYTES) then
    return 'too much'
  end
  return 'resubmitted'
end

local function stale(r) return 'stale', r.sn, r.mid, r.answer end

-- What is known about an offer: a word, and what belongs to it.
function Sent:look(line, r, offer)
  if offer.re ~= '' then return self:look_again(line, r, offer) end
  if not r then return 'new' end
  if is_lower(offer.sn, r.sn) then return stale(r) end
  if is_lower(r.sn, offer.sn) then
    local busy = r.state == ADMITTED and r.under_way > 0
      and r.routed <= self.now and self.now < r.routed + LANDS_WITHIN_MS
    return busy and 'busy' or 'new'
  end
  local same, accepted = r.hash == offer.hash, r.state == ACCEPTED
  if accepted and same then return 'answer', r.answer end
  if same then
    local every = r.repeats < REPEATS_FAST and REPEAT_EVERY_MS or REPEAT_SLOWLY_MS
    local due = r.routed + every
    if self.now >= due or self.now < r.routed then return 'again' end
    return 'repeat', due - self.now, every
  end
  if not accepted and offer.epoch ~= r.epoch then return 'changed' end
  return stale(r)
end

function Sent:counter_rises(line, r, offer)
  if not r then return true end
  local again = offer.re ~= '' and self:sent_again(line, r, offer.re)
  if again and redis.call('HGET', self.again .. line, offer.sn) == offer.mid then return true end
  return r.epoch ~= offer.epoch or is_before(r.counter, offer.counter)
end

-- Takes from a bucket that holds `most` units and gets one a millisecond; nil, or how long until it
-- has enough.
function Sent:take(which, most, cost)
  if most == 0 then return nil end
  local full_at = tonumber(redis.call('HGET', self.pace, which) or 0)
  local lack = math.min(math.max(full_at - self.now, 0), most)
  if most - lack < cost then return math.max(cost - (most - lack), 1) end
  redis.call('HSET', self.pace, which, string.format('%.0f', self.now + lack + cost))
  redis.call('PEXPIRE', self.pace, math.max(most, redis.call('PTTL', self.pace)))
  return nil
end

function Sent:forget(line)
  redis.call('HDEL', self.records, line)
  redis.call('ZREM', self.order, line)
  redis.call('UNLINK', self.again .. line)
end

function Sent:make_room(line, most, remember)
  if not self.is_known then
    redis.call('UNLINK', self.records, self.order)
    redis.call('HSET', self.records, 'gen', self.gen)
    self.is_known = true
  end
  local old = string.format('%.0f', self.now - remember)
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', self.order, '-inf', old, 'LIMIT', 0,
    EXPIRED_AT_ONCE)) do
    self:forget(one)
  end
  while not redis.call('ZSCORE', self.order, line) and redis.call('ZCARD', self.order) >= most do
    self:forget(redis.call('ZRANGE', self.order, 0, 0)[1])
  end
end

function Sent:resubmit(line, r, offer)
  local key = self.again .. line
  local again = self:sent_again(line, r, offer.re)
  if not again then
    redis.call('UNLINK', key)
    again = { bytes = 0, second = self.now, count = 0 }
  end
  if redis.call('HGET', key, offer.sn) ~= offer.mid then again.bytes = again.bytes + offer.size end
  if not is_in_second(again, self.now) then again.second, again.count = self.now, 0 end
  redis.call('HSET', key, 'gen', offer.re, 'bytes', again.bytes, 'second',
    string.format('%.0f', again.second), 'count', again.count + 1, offer.sn, offer.mid)
end

-- Records that an offer is routed now; when it was first admitted.
function Sent:routed(line, offer, verdict, most, remember)
  self:make_room(line, most, remember)
  local r = self:record(line)
  if not r then
    redis.call('UNLINK', self.again .. line)
    r = replace(nil, offer, self.now)
  end
  if verdict == 'again' then
    r.repeats, r.state = r.repeats + 1, ADMITTED
  elseif verdict == 'resubmitted' then
    self:resubmit(line, r, offer)
    if not is_lower(offer.sn, r.sn) then r = replace(r, offer, self.now) end
  else
    r = replace(r, offer, self.now)
  end
  r.routed, r.under_way = self.now, r.under_way + 1
  self:put(line, r)
  redis.call('ZADD', self.order, r.at, line)
  for _, key in ipairs({ self.records, self.order, self.again .. line }) do
    redis.call('PEXPIRE', key, remember)
  end
  return r.at
end

-- ARGV after the time: records a user has at most, how long they are kept, the line, sn, mid, hash,
-- epoch, counter, size, the generation of a loss that is made good or nothing, the sender's version
-- that the facts are of or nothing, 1 if they allow it, the bucket, how much it holds, and what the
-- message costs.
redis.register_function('hushwire1_admit', function(keys, args)
  if not is_gen(keys[1], args[1]) then return { 'other gen' } end
  local self = open_sent(keys, args)
  local most, remember, line = math.max(tonumber(args[3]), 1), tonumber(args[4]), args[5]
  local offer = {
    sn = args[6], mid = args[7], hash = args[8], epoch = args[9], counter = args[10],
    size = tonumber(args[11]), re = args[12],
  }
  local r = self:record(line)
  local told = { self:look(line, r, offer) }
  local verdict = told[1]
  local may_go = verdict == 'new' or verdict == 'changed' or verdict == 'again'
    or verdict == 'resubmitted'
  if not may_go then return told end
  if args[13] ~= '' and args[13] ~= (redis.call('GET', self.v) or '0') then return { 'outdated' } end
  if args[14] ~= '1' then return { 'would', verdict } end
  if verdict ~= 'again' and not self:counter_rises(line, r, offer) then return { 'counter' } end
  if verdict == 'new' then
    local wait = self:take(args[15], tonumber(args[16]), tonumber(args[17]))
    if wait then return { 'rate', wait } end
  end
  return { 'at', self:routed(line, offer, verdict, most, remember) }
end)

-- ARGV after the time: the line, what became of the flight, its sn, mid and answer. 1 if the answer
-- counts.
redis.register_function {
  function_name = 'hushwire1_landed',
  callback = function(keys, args)
    if not is_gen(keys[1], args[1]) then return 0 end
    local self = open_sent(keys, args)
    if not self.is_known then return 0 end
    local line, landing, sn = args[3], args[4], args[5]
    local r = self:record(line)
    if not r then return landing == ACCEPTED and 0 or 1 end
    r.under_way = math.max(r.under_way - 1, 0)
    local counts = 1
    if landing == ACCEPTED then
      counts = r.sn == sn and r.state ~= ACCEPTED and 1 or 0
      if counts == 1 then r.state, r.mid, r.answer = ACCEPTED, args[6], args[7] end
    elseif landing == REFUSED and r.sn == sn and r.state == ADMITTED then
      r.state = REFUSED
    end
    self:put(line, r)
    return counts
  end,
  -- It says that room comes.
  flags = { 'allow-oom' },
}

-- KEYS: the generation's, and a user's version. The generation and the version.
redis.register_function {
  function_name = 'hushwire1_stamp',
  callback = function(keys)
    return { redis.call('HGET', keys[1], 'gen') or '', redis.call('GET', keys[2]) or '0' }
  end,
  flags = { 'no-writes' },
}

-- KEYS: a user's version. ARGV: the time or nothing. It never falls while anybody may know it.
redis.register_function {
  function_name = 'hushwire1_raise',
  callback = function(keys, args)
    local v = math.max(tonumber(redis.call('GET', keys[1]) or 0) + 1, now_ms(args[1]))
    redis.call('SET', keys[1], string.format('%.0f', v), 'PX', STAMP_TTL_MS)
    return 1
  end,
  flags = { 'allow-oom' },
}
