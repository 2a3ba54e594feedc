/**
 * Every bound in the process, in one place: name, unit, default. Reaching one has a named reason,
 * in the protocol's own error and in the log. `limits:` in the configuration file overrides any of
 * them.
 */
export const DEFAULT_LIMITS = {
  /** Connections at a time, all listeners together. */
  connectionsMax: 20_000,
  /** From accept to logged in, in milliseconds. */
  loginTimeoutMs: 10_000,
  /** What one client may send, in bytes a second; it may save up two seconds of it. 0: any. */
  inputBytesPerSecondMax: 0,
  /** Largest message body on any protocol, in bytes. */
  messageBytesMax: 64 * 1024 * 1024,
  /** Output waiting for one receiver: past it deliveries to it pause, in bytes. */
  outputPauseBytes: 1024 * 1024,
  /** Output waiting for one receiver: past it the connection is closed, in bytes. */
  outputCloseBytes: 128 * 1024 * 1024,
  /** Messages in memory: past it publishers are held, in bytes. 0: 40 % of the machine's memory. */
  memoryHighBytes: 0,
  /** Messages of one durable queue in memory: past it they stay on the disk, in bytes. */
  queueWindowBytes: 8 * 1024 * 1024,
  /** Messages that consumers with selectors may pass over in one queue; they look no further. */
  queuePassedMax: 100_000,
  /** Messages of one queue that a browser is shown, as ActiveMQ. */
  browseMessagesMax: 400,
  /**
   * Messages of one queue: past it, while its consumers cannot keep up, publishers to it are
   * slowed, in bytes.
   */
  queueSlowBytes: 32 * 1024 * 1024,
  /** A consumer that takes nothing for so long slows no publishers any more, in milliseconds. */
  consumerStallMs: 1000,
  /** How long a publisher to a slow queue is held at most, in milliseconds. */
  publisherStallMs: 50,
  /** A file of the store's journal is left for the next one beyond this, in bytes. */
  storeSegmentBytes: 64 * 1024 * 1024,
  /** A checkpoint is made after so much journal: what a restart reads at most, in bytes. */
  storeCheckpointBytes: 64 * 1024 * 1024,
  /**
   * Where messages are in the journal, as far as that is in memory, in bytes: past it what nobody
   * asked for lately is read from the last checkpoint again.
   */
  storeIndexBytesMax: 32 * 1024 * 1024,
  /** Free space on the data directory's disk: below it publishers are held, in bytes. 0: any. */
  diskFreeBytesMin: 50_000_000,
  /** Kept for a full disk, on which removals are still written, in bytes: a 16th of it at most. */
  diskReserveBytes: 16 * 1024 * 1024,
  /** Deliveries that one queue hands out before others get their turn. */
  dispatchBatchMax: 256,
  /** Routing keys that a topic exchange remembers the routes of. */
  routeCacheEntries: 8192,
  /** Bindings that one explanation of an address looks at, and shows. */
  explainBindingsMax: 1000,
  /** Last values that one exchange keeps. */
  retainedMax: 1_000_000,
  /** Last values of one vhost that are kept in memory as they were asked for lately, in bytes. */
  retainedCacheBytes: 16 * 1024 * 1024,
  /** Topics of one exchange's last values that memory has in order: so many, or none. */
  retainedCachedKeysMax: 20_000,
  /** Messages that one `x-recent-history` exchange remembers, in bytes: older ones are forgotten. */
  historyBytesMax: 64 * 1024 * 1024,
  /** Policies of one vhost; as many of operators. */
  policiesMax: 1000,
  /** Groups that one stream remembers a place for. */
  streamGroupsMax: 10_000,
  /** A group of a stream that nobody read for so long makes room for a new one, in seconds. */
  streamGroupIdleSecondsMax: 30 * 24 * 3600,
  /** Values that one exchange remembers to know duplicates by: a larger `x-cache-size` is refused. */
  deduplicationMax: 1_000_000,
  /** Delayed messages that wait in one exchange: more are refused. */
  delayedMax: 10_000_000,
  /** Nesting of header tables and arrays. */
  headerDepthMax: 64,
  /** Queue, exchange and user names, in bytes of UTF-8. */
  nameBytesMax: 255,
  /** Channels per AMQP connection. */
  amqpChannelsMax: 2047,
  /** Consumers per AMQP channel. */
  amqpConsumersMax: 65_536,
  /** AMQP frame size offered, in bytes. */
  amqpFrameBytesMax: 131_072,
  /** Bodies of one AMQP connection that are not complete yet, all channels together, in bytes. */
  amqpPartialBytesMax: 256 * 1024 * 1024,
  /** Heartbeat offered to AMQP clients, in seconds. */
  amqpHeartbeatSeconds: 60,
  /** Unconfirmed QoS 1 and 2 publishes that an MQTT client may have in flight. */
  mqttReceiveMaximum: 1024,
  /** Topic aliases that an MQTT client may set. */
  mqttTopicAliasMaximum: 64,
  /** Longest MQTT session expiry granted, in seconds. */
  mqttSessionExpirySecondsMax: 7 * 24 * 3600,
  /** An MQTT CONNECT packet, which comes before the login, in bytes. */
  mqttConnectBytesMax: 512 * 1024,
  /** MQTT sessions, of clients that are connected or away. */
  mqttSessionsMax: 1_000_000,
  /** Messages waiting for an offline MQTT session. */
  mqttOfflineMessagesMax: 100_000,
  /** QoS 0 messages for an MQTT client whose socket is full: more are dropped, in bytes. */
  mqttWaitingBytesMax: 16 * 1024 * 1024,
  /** Subscriptions of one MQTT session. */
  mqttSubscriptionsMax: 10_000,
  /** Levels of one MQTT topic or filter. */
  mqttTopicLevelsMax: 200,
  /** Headers of one STOMP frame. */
  stompHeadersMax: 1000,
  /** One STOMP header line, in bytes. */
  stompHeaderBytesMax: 65_536,
  /** All header lines of one STOMP frame, in bytes. */
  stompHeadBytesMax: 1024 * 1024,
  /** Subscriptions, and open transactions, of one STOMP connection. */
  stompSubscriptionsMax: 10_000,
  /** Frames held in one transaction. */
  transactionFramesMax: 100_000,
  /** One XMPP stanza, in bytes. */
  xmppStanzaBytesMax: 10 * 1024 * 1024,
  /** One XMPP stanza before authentication, in bytes. */
  xmppStanzaBytesBeforeLoginMax: 65_536,
  /** Nesting of XMPP elements. */
  xmppDepthMax: 64,
  /** Roster entries of one XMPP user. */
  xmppRosterMax: 5000,
  /** Offline messages of one XMPP user. */
  xmppOfflineMessagesMax: 10_000,
  /** Sessions of one XMPP user at a time. */
  xmppResourcesMax: 64,
  /** Stanzas that one XMPP session has not acknowledged (XEP-0198). */
  xmppUnacknowledgedMax: 10_000,
  /** How long a lost XMPP session waits to be resumed, in seconds. */
  xmppResumeSecondsMax: 300,
  /** Addresses that one XMPP session shows its presence to directly. */
  xmppDirectedPresenceMax: 1000,
  /** Messages that wait for the people of another server, and those that it refused. */
  xmppLinkMessagesMax: 100_000,
  /** Chat rooms. */
  xmppRoomsMax: 10_000,
  /** Occupants of one chat room. */
  xmppRoomOccupantsMax: 5000,
  /** Pubsub nodes. */
  xmppNodesMax: 100_000,
  /** Subscribers of one pubsub node. */
  xmppNodeSubscribersMax: 10_000,
  /** Older items of all pubsub nodes together, in bytes: past it a node that grows loses its oldest. */
  xmppItemsBytesMax: 64 * 1024 * 1024,
  /** Messages that the archive of one XMPP user or room keeps; the oldest go. */
  xmppArchiveMessagesMax: 5000,
  /** Messages in the archive of one XMPP user or room, in bytes. */
  xmppArchiveBytesMax: 4 * 1024 * 1024,
  /** All XMPP archives together, in bytes; the oldest messages go. */
  xmppArchivesBytesMax: 1024 * 1024 * 1024,
  /** Calls of XMPP clients to queues, or to XMPP clients, that wait for their answers (XEP-0009). */
  xmppCallsMax: 10_000,
  /** How long such a call waits for its answer, in seconds. */
  xmppCallSecondsMax: 60,
  /** Accounts that clients of one address may register over XMPP in an hour. */
  xmppRegistrationsMax: 10,
  /** Addresses that one XMPP user blocks. */
  xmppBlockedMax: 1000,
  /** Personal nodes (XEP-0163) of one XMPP user. */
  xmppPersonalNodesMax: 200,
  /** Items in the personal nodes of one XMPP user together, in bytes. */
  xmppPersonalBytesMax: 2 * 1024 * 1024,
} as const satisfies Record<string, number>;

export type Limits = { readonly [Name in keyof typeof DEFAULT_LIMITS]: number };
