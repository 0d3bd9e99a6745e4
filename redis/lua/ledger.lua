-- One device's ledger: its key, the messages that wait for it, its notices, and what it remembers
-- of senders. The rules are those of actors/src/ledger.rs, and a test compares the two.
--
-- KEYS: the generation's, and the ledger's `meta`, from which the others' names follow.
-- ARGV: the generation believed in, the time or nothing, the limits, then the operation's own.
-- A reply begins with a word for the outcome, the holder, whom it displaced, and both tails; of a
-- ledger in another generation nothing is read or written.
--
-- A message is `u8 ver, u8 flags, u64 at, u64 sn, from_user 32, from_device 16, to 32, mid 16,
-- tag 16, u8 count of withdrawn, their mids, body`, all numbers big-endian.

local AGAIN, OWN = 1, 2
local WITHDRAWN = 131
local KEY_TTL_MS = 90000
local COALESCED = 64
local UNDER_WAY_MS = 60000
-- What became of a message.
local QUEUED, FULL, REVOKED, STALE, NO_ROOM = 'q', 'f', 'r', 's', 'n'

local Ledger = {}
Ledger.__index = Ledger

-- The number of mids that a message withdraws.
local function withdrawn(message) return message:byte(WITHDRAWN) end
local function size(message) return #message - WITHDRAWN - 16 * withdrawn(message) + 16 end
local function flag(message, which) return math.floor(message:byte(2) / which) % 2 == 1 end
local function from_user(message) return message:sub(19, 50) end
local function to_user(message) return message:sub(67, 98) end
local function mid(message) return message:sub(99, 114) end
local function id(message) return message:sub(51, 66) .. mid(message) end
local function line(message) return message:sub(51, 98) end
local function number(message) return message:sub(11, 18) end
-- In two halves: a number of Lua has 53 bits.
local function is_lower(sn, other)
  local a, b = struct.unpack('>I4I4', sn)
  local c, d = struct.unpack('>I4I4', other)
  return a < c or (a == c and b < d)
end
local function contact(message)
  return flag(message, OWN) and to_user(message) or from_user(message)
end
-- 53 bits are enough for a time.
local function at_of(message)
  local high, low = struct.unpack('>I4I4', message:sub(3, 10))
  return high * 4294967296 + low
end

local function open(keys, args)
  local self = setmetatable({}, Ledger)
  local base = keys[2]:sub(1, -5)
  self.meta = keys[2]
  self.entries, self.order = base .. 'entries', base .. 'order'
  self.quotas, self.lines, self.dropped = base .. 'quotas', base .. 'lines', base .. 'dropped'
  self.news, self.gaps, self.tokens = base .. 'news', base .. 'gaps', base .. 'tokens'
  self.now = now_ms(args[2])
  local limits = {}
  for value in args[3]:gmatch('%d+') do limits[#limits + 1] = tonumber(value) end
  self.most, self.most_bytes, self.most_of_one, self.most_bytes_of_one = unpack(limits, 1, 4)
  self.most_news, self.most_gaps, self.most_lines, self.most_dropped = unpack(limits, 5, 8)
  self.expire_after, self.remember = limits[9], limits[10]
  local m = redis.call('HMGET', self.meta, 'holder', 'until', 'tail', 'ntail', 'paged', 'count',
    'bytes', 'revoked')
  -- A ledger that is begun anew never uses a position twice: its holder may have seen some.
  local floor = args[2] == '' and self.now * 1000 or 0
  self.holder, self.ends = m[1] or '', tonumber(m[2] or 0)
  self.tail, self.ntail = tonumber(m[3] or floor), tonumber(m[4] or floor)
  self.paged, self.count = tonumber(m[5] or floor), tonumber(m[6] or 0)
  self.bytes, self.revoked = tonumber(m[7] or 0), m[8] ~= false
  if self.holder ~= '' and self.ends < self.now then self.holder = '' end
  return self
end

-- The holder is its node, its connection, and `b` for behind or `l` for live.
function Ledger:conn() return self.holder:sub(17, 32) end
function Ledger:is_held_by(conn) return self.holder ~= '' and self:conn() == conn end
function Ledger:is_live() return self.holder:sub(33) == 'l' end
function Ledger:set_mode(mode)
  if self.holder ~= '' then self.holder = self.holder:sub(1, 32) .. mode end
end
function Ledger:hold(node, conn)
  self.holder, self.ends = node .. conn .. 'b', self.now + KEY_TTL_MS
end

-- Always writes, so that waiting for copies covers what a repeat found written before.
function Ledger:save()
  local whole = function(value) return string.format('%.0f', value) end
  redis.call('HSET', self.meta, 'holder', self.holder, 'until', whole(self.ends), 'tail',
    whole(self.tail), 'ntail', whole(self.ntail), 'paged', whole(self.paged), 'count',
    whole(self.count), 'bytes', whole(self.bytes))
end

function Ledger:reply(word, ...)
  return { word, self.holder, self.displaced or '', self.tail, self.ntail, ... }
end

function Ledger:notices()
  return redis.call('ZCARD', self.news) + redis.call('ZCARD', self.gaps)
end

-- Positions are doubles: exact up to 2^53.
local function above(position) return string.format('(%.0f', position) end

-- Adds to the sums of a sender, and of all.
function Ledger:account(sender, messages, bytes)
  local held = redis.call('HGET', self.quotas, sender)
  local count, sum = 0, 0
  if held then count, sum = struct.unpack('>I4I4', held) end
  count, sum = count + messages, sum + bytes
  self.count, self.bytes = self.count + messages, self.bytes + bytes
  if count > 0 then
    redis.call('HSET', self.quotas, sender, struct.pack('>I4I4', count, sum))
  else
    redis.call('HDEL', self.quotas, sender)
  end
end

function Ledger:has_room(message)
  local held = redis.call('HGET', self.quotas, from_user(message))
  local count, sum = 0, 0
  if held then count, sum = struct.unpack('>I4I4', held) end
  local bytes = size(message)
  return self.count < self.most and self.bytes + bytes <= self.most_bytes
    and count < self.most_of_one and sum + bytes <= self.most_bytes_of_one
end

-- Deletes a message. What is stored has its time of writing before it.
function Ledger:delete(which)
  local stored = redis.call('HGET', self.entries, which)
  if not stored then return end
  local message = stored:sub(9)
  redis.call('HDEL', self.entries, which)
  redis.call('ZREM', self.order, which)
  self:account(from_user(message), -1, -size(message))
end

function Ledger:delete_where(is_meant)
  for _, which in ipairs(redis.call('HKEYS', self.entries)) do
    local stored = redis.call('HGET', self.entries, which)
    if stored and is_meant(stored:sub(9)) then self:delete(which) end
  end
end

-- What is remembered of a line: `sn 8, what became of it 1, time 8, mid 16`.
function Ledger:known(message)
  if flag(message, AGAIN) then return nil end
  local highest = redis.call('HGET', self.lines, line(message))
  if not highest then return nil end
  local sn, taken, last = highest:sub(1, 8), highest:sub(9, 9), highest:sub(18, 33)
  local same = number(message) == sn
  if same and (taken ~= QUEUED or last == mid(message)) then return taken end
  if is_lower(number(message), sn) then return QUEUED end
  return nil
end

function Ledger:recorded(message)
  if redis.call('HEXISTS', self.entries, id(message)) == 1 then return QUEUED end
  return self:known(message)
end

-- The field whose time is the oldest; of equally old ones the first in order.
local function oldest(all, time)
  local found, least
  for k = 1, #all, 2 do
    local at = time(all[k + 1])
    if not least or at < least or (at == least and is_before(all[k], found)) then
      found, least = all[k], at
    end
  end
  return found
end

function Ledger:remember_line(message, taken)
  local field = line(message)
  local highest = redis.call('HGET', self.lines, field)
  if highest and is_lower(number(message), highest:sub(1, 8)) then return end
  if not highest and redis.call('HLEN', self.lines) >= math.max(self.most_lines, 1) then
    local all = redis.call('HGETALL', self.lines)
    redis.call('HDEL', self.lines,
      oldest(all, function(value) return (struct.unpack('>d', value, 10)) end))
  end
  redis.call('HSET', self.lines, field,
    number(message) .. taken .. struct.pack('>d', self.now) .. mid(message))
end

-- Whether a message was under way when its sender's were dropped.
function Ledger:is_dropped(message)
  local at = redis.call('HGET', self.dropped, from_user(message))
  if not at then return false end
  at = struct.unpack('>d', at)
  return at_of(message) <= at and self.now >= at and self.now < at + UNDER_WAY_MS
end

-- Notices and gaps share one row of positions; each begins with its position and its time.
local function row(position, at, rest) return struct.pack('>dd', position, at) .. rest end

function Ledger:notice(news)
  for _, known in ipairs(redis.call('ZREVRANGE', self.news, 0, COALESCED - 1)) do
    if known:sub(17) == news then return end
  end
  local most = math.max(self.most_news, 1)
  local over = redis.call('ZCARD', self.news) - most
  if over >= 0 then redis.call('ZREMRANGEBYRANK', self.news, 0, over) end
  self.ntail = self.ntail + 1
  redis.call('ZADD', self.news, self.ntail, row(self.ntail, self.now, news))
end

-- A gap: `position, time, count, contact`.
function Ledger:add_gap(who, count, at)
  self.ntail = self.ntail + 1
  redis.call('ZADD', self.gaps, self.ntail, row(self.ntail, at, struct.pack('>d', count) .. who))
end

function Ledger:skipped(who)
  for _, gap in ipairs(redis.call('ZRANGEBYSCORE', self.gaps, above(self.paged), '+inf')) do
    if gap:sub(25) == who then
      local position, _, count = struct.unpack('>ddd', gap)
      redis.call('ZREM', self.gaps, gap)
      redis.call('ZADD', self.gaps, position,
        row(position, self.now, struct.pack('>d', count + 1) .. who))
      return
    end
  end
  local most = math.max(self.most_gaps, 1)
  local over = redis.call('ZCARD', self.gaps) - most
  if over >= 0 then redis.call('ZREMRANGEBYRANK', self.gaps, 0, over) end
  self:add_gap(who, 1, self.now)
end

-- A new connection: gaps of one contact that an earlier one was shown are counted together.
function Ledger:rejoin()
  local parts, contacts = {}, {}
  for _, gap in ipairs(redis.call('ZRANGE', self.gaps, 0, -1)) do
    local who = gap:sub(25)
    if not parts[who] then
      parts[who] = {}
      contacts[#contacts + 1] = who
    end
    table.insert(parts[who], gap)
  end
  table.sort(contacts, is_before)
  for _, who in ipairs(contacts) do
    if #parts[who] > 1 then
      local sum, latest = 0, 0
      for _, gap in ipairs(parts[who]) do
        local _, at, count = struct.unpack('>ddd', gap)
        sum, latest = sum + count, math.max(latest, at)
        redis.call('ZREM', self.gaps, gap)
      end
      self:add_gap(who, sum, latest)
    end
  end
end

function Ledger:write(message, away)
  local count = withdrawn(message)
  if count > 0 and redis.call('HEXISTS', self.quotas, from_user(message)) == 1 then
    -- First, and again with each repeat: it makes room.
    local meant = {}
    for k = 0, count - 1 do
      meant[message:sub(WITHDRAWN + 1 + 16 * k, WITHDRAWN + 16 + 16 * k)] = true
    end
    meant[mid(message)] = nil
    local user, to = from_user(message), to_user(message)
    self:delete_where(function(other)
      return meant[mid(other)] and from_user(other) == user and to_user(other) == to
    end)
  end
  local known = self:recorded(message)
  if known then return known end
  local taken
  if self:is_dropped(message) then
    taken = QUEUED
  elseif not self:has_room(message) then
    self:skipped(contact(message))
    taken = FULL
  elseif away and not flag(message, AGAIN) then
    -- The store has no room for devices that are away.
    self:skipped(contact(message))
    taken = NO_ROOM
  else
    self.tail = self.tail + 1
    redis.call('HSET', self.entries, id(message), struct.pack('>d', self.now) .. message)
    redis.call('ZADD', self.order, self.tail, id(message))
    self:account(from_user(message), 1, size(message))
    taken = QUEUED
  end
  self:remember_line(message, taken)
  return taken
end

function Ledger:write_all(args, first, away)
  local taken = {}
  for k = first, #args do taken[#taken + 1] = self:write(args[k], away) end
  return table.concat(taken)
end

local function revoked_for(args, first)
  return string.rep(REVOKED, math.max(#args - first + 1, 0))
end

-- Turns to *behind*, if anything is to be written.
function Ledger:turn_behind(args, first)
  if #args >= first then self:set_mode('b') end
end

local ops = {}

-- node, conn
function ops.attach(self, args)
  if self.revoked then return self:reply('revoked') end
  if self.holder ~= '' and self:conn() ~= args[5] then self.displaced = self.holder end
  self:hold(args[4], args[5])
  self:rejoin()
  self:save()
  return self:reply('attached')
end

-- the connection that was tried or nothing, `1` if the store has no room for devices that are
-- away, messages
function ops.enqueue(self, args)
  if self.revoked then return self:reply('written', revoked_for(args, 6)) end
  if self.holder ~= '' and self:is_live() and self:conn() ~= args[4] then
    -- What comes late is answered as its message was, and is not routed again.
    local taken = {}
    for k = 6, #args do taken[#taken + 1] = self:recorded(args[k]) end
    if #taken < #args - 5 then return self:reply('held') end
    self:save()
    return self:reply('written', table.concat(taken))
  end
  self:turn_behind(args, 6)
  local taken = self:write_all(args, 6, args[5] == '1')
  self:save()
  return self:reply('written', taken)
end

function ops.force(self, args)
  if self.revoked then return self:reply('written', revoked_for(args, 4)) end
  self:turn_behind(args, 4)
  local taken = self:write_all(args, 4, false)
  self:save()
  return self:reply('written', taken)
end

-- conn, messages
local function back(self, args, detaches)
  if self.revoked then return self:reply('written', revoked_for(args, 5)) end
  if not self:is_held_by(args[4]) then
    self:turn_behind(args, 5)
  elseif detaches then
    self.holder = ''
  end
  local taken = self:write_all(args, 5, false)
  self:save()
  return self:reply('written', taken)
end
function ops.back(self, args) return back(self, args, false) end
function ops.detach(self, args) return back(self, args, true) end

-- conn, after, after for notices, most, most bytes, ids to leave out
function ops.page(self, args)
  if self.revoked then return self:reply('revoked') end
  if not self:is_held_by(args[4]) then return self:reply('not holder') end
  local after, most, most_bytes = tonumber(args[5]), tonumber(args[7]), tonumber(args[8])
  local notices = {}
  for kind, key in pairs({ n = self.news, g = self.gaps }) do
    local rows = redis.call('ZRANGEBYSCORE', key, above(tonumber(args[6])), '+inf', 'LIMIT', 0,
      most + 1)
    for _, one in ipairs(rows) do
      notices[#notices + 1] = { (struct.unpack('>d', one)), kind .. one:sub(17) }
    end
  end
  table.sort(notices, function(a, b) return a[1] < b[1] end)
  local more, shown, entries, last = #notices > most, {}, {}, after
  for k = 1, math.min(#notices, most) do
    shown[#shown + 1] = notices[k][1]
    shown[#shown + 1] = notices[k][2]
    self.paged = math.max(self.paged, notices[k][1])
  end
  if not more then
    local left_out, count = {}, #args - 8
    for k = 9, #args do left_out[args[k]] = true end
    local room, bytes, taken = most - #shown / 2, 0, 0
    local rows = redis.call('ZRANGEBYSCORE', self.order, above(after), '+inf', 'WITHSCORES',
      'LIMIT', 0, room + count + 1)
    for k = 1, #rows, 2 do
      local position = tonumber(rows[k + 1])
      if not left_out[rows[k]] then
        local message = redis.call('HGET', self.entries, rows[k]):sub(9)
        local next_size = size(message)
        local alone = taken == 0 and count == 0
        if taken == room or (bytes + next_size > most_bytes and not alone) then
          more = true
          break
        end
        taken, bytes = taken + 1, bytes + next_size
        entries[#entries + 1] = message
      end
      last = position
    end
    -- What was deleted above the last message counts as looked at.
    if not more then last = math.max(last, self.tail) end
  end
  self:save()
  return self:reply('page', entries, last, shown, more and 1 or 0)
end

-- conn, last position paged, last notice paged
function ops.flip(self, args)
  if self.revoked then return self:reply('revoked') end
  if not self:is_held_by(args[4]) then return self:reply('not holder') end
  local lies_above = redis.call('ZCOUNT', self.order, above(tonumber(args[5])), '+inf') > 0
    or redis.call('ZCOUNT', self.news, above(tonumber(args[6])), '+inf') > 0
    or redis.call('ZCOUNT', self.gaps, above(tonumber(args[6])), '+inf') > 0
  self:set_mode(lies_above and 'b' or 'l')
  self:save()
  return self:reply('flipped', lies_above and 0 or 1)
end

-- last notice acknowledged, ids of messages
function ops.ack(self, args)
  if self.revoked then return self:reply('noticed') end
  for k = 5, #args do self:delete(args[k]) end
  redis.call('ZREMRANGEBYSCORE', self.news, '-inf', args[4])
  redis.call('ZREMRANGEBYSCORE', self.gaps, '-inf', args[4])
  self:save()
  return self:reply('noticed')
end

-- news
function ops.notice(self, args)
  if self.revoked then return self:reply('noticed') end
  self:notice(args[4])
  self:save()
  return self:reply('noticed')
end

-- node, conn
function ops.touch(self, args)
  if self.revoked then return self:reply('revoked') end
  if self.holder == '' then
    self:hold(args[4], args[5])
  elseif self:conn() == args[5] then
    self.ends = self.now + KEY_TTL_MS
  else
    return self:reply('not holder')
  end
  self:save()
  -- The word that notices are there may have been lost.
  return self:reply(self:notices() > 0 and 'noticed' or 'attached')
end

function ops.revoke(self)
  self.displaced = self.holder
  self.holder, self.tail, self.ntail = '', 0, 0
  redis.call('DEL', self.meta, self.entries, self.order, self.quotas, self.lines, self.dropped,
    self.news, self.gaps, self.tokens)
  redis.call('HSET', self.meta, 'revoked', self.now, 'tail', 0, 'ntail', 0)
  return self:reply('revoked')
end

-- sender
function ops.drop_from(self, args)
  if self.revoked then return self:reply('dropped') end
  local sender = args[4]
  if redis.call('HEXISTS', self.quotas, sender) == 1 then
    self:delete_where(function(message) return from_user(message) == sender end)
  end
  if redis.call('HEXISTS', self.dropped, sender) == 0
    and redis.call('HLEN', self.dropped) >= math.max(self.most_dropped, 1) then
    local all = redis.call('HGETALL', self.dropped)
    redis.call('HDEL', self.dropped,
      oldest(all, function(value) return (struct.unpack('>d', value)) end))
  end
  redis.call('HSET', self.dropped, sender, struct.pack('>d', self.now))
  self:save()
  return self:reply('dropped')
end

function ops.look(self) return self:reply('looked') end

-- how many at most, the time to expire by
-- Tells what has waited too long, and what the ledger holds; forgets what is old; an empty ledger
-- goes. The messages go with a later `ack`, when their senders' notices are stored.
function ops.expire(self, args)
  if self.revoked then return self:reply('expired', {}, 0, 0, 0) end
  local now = math.min(self.now, tonumber(args[5]))
  local since = now - self.remember
  for _, key in ipairs({ self.news, self.gaps }) do
    for _, one in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      local _, at = struct.unpack('>dd', one)
      if at <= since then redis.call('ZREM', key, one) end
    end
  end
  for key, offset in pairs({ [self.lines] = 10, [self.dropped] = 1 }) do
    local all = redis.call('HGETALL', key)
    for k = 1, #all, 2 do
      if struct.unpack('>d', all[k + 1], offset) <= since then redis.call('HDEL', key, all[k]) end
    end
  end
  local due = {}
  local first = redis.call('ZRANGE', self.order, 0, tonumber(args[4]) - 1)
  for _, which in ipairs(first) do
    local at = struct.unpack('>d', redis.call('HGET', self.entries, which))
    if at + self.expire_after > now then break end
    due[#due + 1] = which
  end
  local notices = self:notices()
  if self.holder == '' and self.count == 0 and notices == 0
    and redis.call('EXISTS', self.lines, self.dropped) == 0 then
    redis.call('DEL', self.meta)
  else
    self:save()
  end
  return self:reply('expired', due, self.count, self.bytes, notices)
end

local function register(name, flags)
  redis.register_function {
    function_name = 'hushwire1_' .. name,
    callback = function(keys, args)
      if not is_gen(keys[1], args[1]) then
        return { 'other gen', redis.call('HGET', keys[1], 'gen') or '' }
      end
      return ops[name](open(keys, args), args)
    end,
    flags = flags,
  }
end

-- Those that write messages are refused when Redis has no memory left; what makes room is not.
-- (No loop: a library that is loaded has few globals.)
register('enqueue', {})
register('force', {})
register('back', {})
register('detach', {})
register('attach', { 'allow-oom' })
register('page', { 'allow-oom' })
register('flip', { 'allow-oom' })
register('ack', { 'allow-oom' })
register('notice', { 'allow-oom' })
register('touch', { 'allow-oom' })
register('revoke', { 'allow-oom' })
register('drop_from', { 'allow-oom' })
register('expire', { 'allow-oom' })
register('look', { 'no-writes' })
