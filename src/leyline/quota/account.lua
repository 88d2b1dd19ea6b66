-- The operations of Account (account.py, booking.py, tally.py, windows.py) on the state of one account,
-- kept in one key as the JSON that Account.dump writes. What is decided there is decided here in the same way; the
-- tests hold one against the other.
--
-- KEYS[1]: the account. ARGV[1]: what to do, as JSON; RedisLedger says what is in it.
-- Reply: what came of it, the time here, and more; numbers as text, which keeps all their digits.
--
-- Lua has no calendar: for a limit of calendar days come some {number, begins, ends}. If the one
-- that is needed is not among them, the reply is "day" and the moment that it is needed for.

local VERSION = 2 -- version 1 did not say when a booking was last asked for
local BUCKETS = 128
local UP = 1 + 2 ^ -52 -- makes up for rounding
local KEPT_SECONDS = 2 * 86400
local DAYS_KEPT = 3
local REOPENING_SECONDS = 60
local GAP_SECONDS = 1
local LATE_SECONDS = 1
local LEASE = 90
local DAY_OF_1970 = 719163 -- the number of the day at which Unix time begins

local max, min, floor, ceil, never = math.max, math.min, math.floor, math.ceil, math.huge

local request = cjson.decode(ARGV[1])
local limits = request.limits or {}
local clock = redis.call("TIME")
local now = clock[1] + clock[2] / 1000000
local wall = now -- two names for one time, as account.py tells them apart

-- As short as it can be without changing it. cjson keeps only 14 digits.
local function number(x)
  local text = string.format("%.15g", x)
  return tonumber(text) == x and text or string.format("%.17g", x)
end

---------------------------------------------------------------- the state, read and written

local logs, days, bookings -- as in Account; days: {number, used} in the order they came
local closed_until, closed_by = 0, ""
local reopening, last, settled = -never, -never, -never

local function read_log(flat)
  local log, k = { span = flat[1], buckets = {} }, 0
  for i = 2, #flat, 2 do
    k = k + flat[i]
    log.buckets[k] = flat[i + 1]
  end
  return log
end

local function read_moment(x)
  return (x == nil or x == cjson.null) and -never or x
end

local function read(state)
  logs, days, bookings = {}, state.days, state.bookings
  for name, flat in pairs(state.logs) do
    logs[name] = read_log(flat)
  end
  closed_until, closed_by = state.closed[1], state.closed[2]
  reopening, last = read_moment(state.reopening), read_moment(state.last)
  settled = read_moment(state.settled)
  for _, held in pairs(bookings) do
    held[3] = held[3] or held[1]
  end
end

local function sorted(log)
  local order = {}
  for k in pairs(log.buckets) do
    order[#order + 1] = k
  end
  table.sort(order)
  return order
end

local function array(texts)
  return "[" .. table.concat(texts, ",") .. "]"
end

-- cjson takes an empty table for an object and a gap for an error, so it writes only text here.
local function object(items, written)
  local parts = {}
  for key, item in pairs(items) do
    parts[#parts + 1] = cjson.encode(key) .. ":" .. written(item)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function written_log(log)
  local flat, before = { number(log.span) }, 0
  for _, k in ipairs(sorted(log)) do
    flat[#flat + 1] = number(k - before)
    flat[#flat + 1] = number(log.buckets[k])
    before = k
  end
  return array(flat)
end

local function written_pair(pair)
  return array({ number(pair[1]), number(pair[2]) })
end

local function written_days(used)
  local texts = {}
  for i, pair in ipairs(used) do
    texts[i] = written_pair(pair)
  end
  return array(texts)
end

local function written_booking(held)
  return array({ number(held[1]), object(held[2], written_pair), number(held[3]) })
end

local function written_moment(x)
  return x == -never and "null" or number(x)
end

local function written()
  return '{"version":' .. VERSION
    .. ',"logs":' .. object(logs, written_log)
    .. ',"days":' .. object(days, written_days)
    .. ',"bookings":' .. object(bookings, written_booking)
    .. ',"closed":' .. array({ number(closed_until), cjson.encode(closed_by) })
    .. ',"reopening":' .. written_moment(reopening)
    .. ',"last":' .. written_moment(last)
    .. ',"settled":' .. written_moment(settled) .. "}"
end

---------------------------------------------------------------- windows, as in SlidingLog

local function until_(log, k)
  return (k + 1 + BUCKETS) * (log.span / BUCKETS) * UP
end

local function bucket_at(log, at)
  return floor(at / (log.span / BUCKETS))
end

-- What counts at a moment, and what is booked for later.
local function used_of(log, at)
  local used, waiting, here = 0, 0, bucket_at(log, at)
  for k, weight in pairs(log.buckets) do
    if k > here then
      waiting = waiting + weight
    elseif until_(log, k) > at then
      used = used + weight
    end
  end
  return used, waiting
end

local function earliest_in(log, weight, amount, start)
  if weight > amount then
    return never
  end
  local now_used, waiting = used_of(log, start)
  local used = now_used + waiting
  if used + weight <= amount then
    return start
  end
  for _, k in ipairs(sorted(log)) do
    if until_(log, k) > start then
      used = used - log.buckets[k]
      if used + weight <= amount then
        return until_(log, k)
      end
    end
  end
  return start
end

-- What counts at a moment in bucket k, of that and of the buckets before it.
local function load_of(log, k)
  local load = 0
  for other, weight in pairs(log.buckets) do
    if k - BUCKETS <= other and other <= k then
      load = load + weight
    end
  end
  return load
end

local function has_room_in(log, weight, amount, at)
  local k = bucket_at(log, at)
  if load_of(log, k) + weight > amount then
    return false
  end
  for other in pairs(log.buckets) do
    if k < other and other <= k + BUCKETS and load_of(log, other) + weight > amount then
      return false
    end
  end
  return true
end

local function forget(log)
  for k in pairs(log.buckets) do
    if until_(log, k) <= now then
      log.buckets[k] = nil -- allowed while going through a table
    end
  end
end

-- Take over what was entered under another span, and what the bookings know of it.
local function move(name, log, span)
  local before, buckets = log.span / BUCKETS, log.buckets
  log.span, log.buckets = span, {}
  local function moved(k)
    return ceil((k + 1) * before / (span / BUCKETS)) - 1
  end
  for k, weight in pairs(buckets) do
    local to = moved(k)
    log.buckets[to] = (log.buckets[to] or 0) + weight
  end
  for _, held in pairs(bookings) do
    local taken = held[2][name]
    if taken then
      taken[1] = moved(taken[1])
    end
  end
end

---------------------------------------------------------------- calendar days

-- The day that a moment lies in; to the microsecond, as account.py has it from datetime.
local function day_at(limit, moment)
  local rounded = floor(moment * 1000000 + 0.5) / 1000000
  for _, day in ipairs(limit.days) do
    if day[2] <= rounded and rounded < day[3] then
      return { number = day[1], ends = day[3] }
    end
  end
  error({ day = moment })
end

local function entry(name, day)
  for _, pair in ipairs(days[name] or {}) do
    if pair[1] == day then
      return pair
    end
  end
end

local function used_on(name, day)
  local pair = entry(name, day)
  return pair and pair[2] or 0
end

local function forget_days(name, today)
  local used, kept = days[name] or {}, {}
  for _, pair in ipairs(used) do
    if #used <= DAYS_KEPT or pair[1] >= today - DAYS_KEPT then
      kept[#kept + 1] = pair
    end
  end
  days[name] = kept
end

---------------------------------------------------------------- decisions, as in Account

local function change(name, k, by)
  local log, pair = logs[name], entry(name, k)
  if pair then
    pair[2] = max(0, pair[2] + by)
  elseif log then
    local weight = (log.buckets[k] or 0) + by
    log.buckets[k] = weight > 0 and weight or nil
  end
end

-- The latest start, of those booked for a moment before this one.
local function latest(before)
  local moment = settled
  for _, held in pairs(bookings) do
    if held[1] < before then
      moment = max(moment, held[1])
    end
  end
  return moment
end

-- Give up what is booked for later by those who must have ended without a word.
local function drop_abandoned()
  for booking, held in pairs(bookings) do
    if held[1] > now and now > held[3] + LEASE then
      bookings[booking] = nil
      for name, taken in pairs(held[2]) do
        change(name, taken[1], -taken[2])
      end
    end
  end
  last = latest(never)
end

local function prepare()
  for _, limit in ipairs(limits) do
    local log = logs[limit.name]
    if limit.days then
      forget_days(limit.name, day_at(limit, wall).number)
    elseif log then
      forget(log)
      if limit.span > log.span or (limit.span < log.span and not next(log.buckets)) then
        move(limit.name, log, limit.span)
      end
    else
      logs[limit.name] = { span = limit.span, buckets = {} }
    end
  end
  for booking, held in pairs(bookings) do
    if held[1] < now - KEPT_SECONDS then
      bookings[booking] = nil
    end
  end
  if last > now + LEASE then
    drop_abandoned()
  end
end

local function gap()
  local widest
  for _, limit in ipairs(limits) do
    if limit.measure == "requests" and limit.per <= 60 then
      widest = max(widest or 0, limit.per / limit.amount)
    end
  end
  return widest or GAP_SECONDS
end

local function fits(limit, start)
  if not limit.days then
    return earliest_in(logs[limit.name], limit.weight, limit.amount, start)
  elseif limit.weight > limit.amount or start == never then
    return never
  end
  local at = wall + (start - now)
  local moment, day = at, day_at(limit, at)
  if day_at(limit, at + limit.late).number ~= day.number then -- nobody knows which it would be
    moment = day.ends
    day = day_at(limit, moment)
  end
  while used_on(limit.name, day.number) + limit.weight > limit.amount do
    moment = day.ends
    day = day_at(limit, moment)
  end
  return start + (moment - at)
end

-- The earliest start, and the limit that it waits for; nil: it waits for none of them.
local function earliest()
  local start, hindrance, before = max(now, last), nil, -never
  if wall < closed_until then
    start = max(start, now + closed_until - wall)
  end
  if max(now, last) < reopening then
    start = max(start, last + gap())
  end
  while before < start do
    before = start
    for _, limit in ipairs(limits) do
      local moment = fits(limit, start)
      if moment > start then
        start, hindrance = moment, limit
      end
    end
  end
  return start, hindrance
end

-- Whether a start now takes nothing from those that are booked for later.
local function has_room()
  if wall < closed_until or now < reopening then
    return false
  end
  prepare()
  for _, limit in ipairs(limits) do
    local room
    if limit.days then
      room = fits(limit, now) <= now
    else
      room = has_room_in(logs[limit.name], limit.weight, limit.amount, now)
    end
    if not room then
      return false
    end
  end
  return true
end

-- How much of it is used, what is booked for later, and in how many seconds some of it is free.
local function look(limit)
  if limit.days then
    local day = day_at(limit, wall)
    local used = used_on(limit.name, day.number)
    return used, 0, used > 0 and day.ends - wall or nil
  end
  local log = logs[limit.name] or { span = limit.per, buckets = {} }
  local frees
  for k in pairs(log.buckets) do
    if until_(log, k) > now then
      frees = min(frees or never, until_(log, k))
    end
  end
  local used, waiting = used_of(log, now)
  return used, waiting, frees and frees - now
end

-- The part of it that is taken.
local function share_of(limit)
  local used, waiting = look(limit)
  return (used + waiting) / limit.amount
end

-- The part used of the fullest limit, and its name.
local function fullest_of()
  local most, name = 0, ""
  for _, limit in ipairs(limits) do
    local part = share_of(limit)
    if part > most or name == "" then
      most, name = part, limit.name
    end
  end
  return most, name
end

local function booked(delay)
  local share, name = fullest_of()
  return { "booked", number(delay), number(share), name }
end

-- What the bookings before it wait for: the fullest limit; nil: the service is closed.
local function queued_for()
  local fullest, share = nil, -1
  if wall >= closed_until and now >= reopening then
    for _, limit in ipairs(limits) do
      local part = share_of(limit)
      if part > share then
        fullest, share = limit, part
      end
    end
  end
  return fullest
end

local function enter(limit, start)
  if limit.days then
    local day = day_at(limit, wall + (start - now)).number
    local used = days[limit.name]
    if not entry(limit.name, day) then
      used[#used + 1] = { day, 0 }
    end
    local pair = entry(limit.name, day)
    pair[2] = pair[2] + limit.weight
    return { day, limit.weight }
  end
  local log = logs[limit.name]
  local k = bucket_at(log, start)
  if limit.weight > 0 then
    log.buckets[k] = (log.buckets[k] or 0) + limit.weight
  end
  return { k, limit.weight }
end

local function enter_all(start)
  local entries = {}
  for _, limit in ipairs(limits) do
    entries[limit.name] = enter(limit, start)
  end
  return entries
end

local function hold(start)
  bookings[request.booking] = { start, enter_all(start), now }
  last = max(last, start)
end

-- Move a booked start to an earlier moment, if one is free behind all booked before it.
local function advance(held)
  prepare()
  for name, taken in pairs(held[2]) do
    change(name, taken[1], -taken[2])
  end
  last = latest(held[1])
  local start = earliest()
  if start < held[1] then
    held[1], held[2] = start, enter_all(start)
  else
    for name, taken in pairs(held[2]) do
      change(name, taken[1], taken[2])
    end
  end
  last = latest(never)
end

-- Whether a start at this moment, or where that is too early at its own, is the one booked.
local function stands(held, later)
  if now + later > held[1] + request.slack then
    return false
  end
  local at = wall + later + max(0, held[1] - (now + later))
  for _, limit in ipairs(limits) do
    local taken = held[2][limit.name]
    if limit.days and taken and day_at(limit, at).number ~= taken[1] then
      return false
    end
  end
  return true
end

---------------------------------------------------------------- operations: reply, was it changed

local act = {}

function act.book()
  prepare()
  local start, hindrance = earliest()
  local delay = start - now
  if request.dry_run then
    hold(now)
    return booked(delay), true
  end
  if delay > request.max_delay or start == never then
    hindrance = hindrance or queued_for()
    if not hindrance then
      return { "refused", number(delay), "closed", "0", "0", "0", closed_by }, false
    end
    local used, waiting = look(hindrance)
    local amount = number(hindrance.amount)
    local facts = { "refused", number(delay), hindrance.name, number(used), amount, number(waiting), "" }
    return facts, false
  end
  hold(start)
  return booked(delay), true
end

function act.refund()
  local held = bookings[request.booking]
  if not held then
    return { "unknown" }, false
  end
  bookings[request.booking] = nil
  for name, taken in pairs(held[2]) do
    change(name, taken[1], -taken[2])
  end
  last = latest(never)
  return { "done" }, true
end

function act.confirm()
  local held, closed_for = bookings[request.booking], max(0, closed_until - wall)
  if held and stands(held, closed_for) then
    local early = held[1] > now
    if early then
      held[3] = now
      advance(held)
    end
    return booked(max(closed_for, held[1] - now)), early
  end
  act.refund()
  if held and held[1] <= now and has_room() then
    hold(now)
    return booked(0), true
  end
  request.max_delay = never
  return act.book()
end

function act.settle()
  local held = bookings[request.booking]
  if not held then
    return { "unknown" }, false
  end
  bookings[request.booking] = nil
  settled = max(settled, held[1])
  for _, limit in ipairs(limits) do
    local taken = held[2][limit.name]
    if taken then
      change(limit.name, taken[1], limit.weight - taken[2])
    end
  end
  return { "done" }, true
end

function act.throttle()
  if request.until_ >= closed_until then
    closed_until, closed_by = request.until_, request.reason
  end
  reopening = max(reopening, now + max(0, request.until_ - wall) + REOPENING_SECONDS)
  for _, held in pairs(bookings) do
    if held[1] > now then -- to be put off by confirm
      held[1] = now - LATE_SECONDS
    end
  end
  return { "done" }, true
end

function act.status()
  local closed = wall < closed_until
  local reply = { "status", number(max(0, closed_until - wall)), closed and closed_by or "" }
  for _, limit in ipairs(limits) do
    local used, waiting, frees = look(limit)
    reply[#reply + 1] = number(used)
    reply[#reply + 1] = number(waiting)
    reply[#reply + 1] = frees and number(frees) or ""
  end
  return reply, false
end

---------------------------------------------------------------- one transaction

-- Until when something here still matters. A key that is gone is an account without a past.
local function matters_until()
  local moment = max(closed_until, reopening, last, settled)
  for _, log in pairs(logs) do
    for k in pairs(log.buckets) do
      moment = max(moment, until_(log, k))
    end
  end
  for _, used in pairs(days) do
    for _, day in ipairs(used) do -- two days more: it may begin late, and far in the west
      moment = max(moment, (day[1] - DAY_OF_1970 + 3) * 86400)
    end
  end
  for _, held in pairs(bookings) do -- to be settled yet
    moment = max(moment, held[1] + KEPT_SECONDS)
  end
  return moment
end

local function answer(verdict, ...)
  return { verdict, number(now), ... }
end

local text = redis.call("GET", KEYS[1])
if text then
  local readable, state = pcall(cjson.decode, text)
  if not readable or type(state) ~= "table" or type(state.version) ~= "number" then
    return answer("foreign")
  elseif state.version > VERSION then
    return answer("version", tostring(state.version))
  elseif not pcall(read, state) then
    return answer("foreign")
  end
else
  logs, days, bookings = {}, {}, {}
end

local done, reply, changed = pcall(act[request.act])
if not done then
  local problem = reply
  if type(problem) == "table" and problem.day then
    return answer("day", number(problem.day))
  end
  error(problem)
end
if changed then
  local left = ceil((matters_until() - now) * 1000) + 1000
  redis.call("SET", KEYS[1], written(), "PX", string.format("%.0f", min(max(left, 1000), 1e15)))
end
table.insert(reply, 2, number(now))
return reply
