# The work of ../client-work.test.ts with Bunny. Argument: the port. Prints what came of it.
require 'bunny'
require 'json'
require 'logger'
require 'timeout'

WAIT_SECONDS = 20
said = {}

# Deliveries one by one, in the order of their arrival.
class Inbox
  def initialize
    @messages = Queue.new
  end

  def put(*message)
    @messages << message
  end

  def take
    Timeout.timeout(WAIT_SECONDS) { @messages.pop }
  end
end

recovered = Queue.new
connection = Bunny.new(
  host: '127.0.0.1',
  port: ARGV[0].to_i,
  network_recovery_interval: 0.1,
  recover_from_connection_close: true,
  logger: Logger.new(File::NULL)
)
connection.after_recovery_completed { recovered << true }
connection.start
channel = connection.create_channel
channel.confirm_select
channel.prefetch(3)
jobs = channel.topic('jobs', durable: true)
graves = channel.fanout('graves', durable: true)
buried = channel.queue('buried', durable: true).bind(graves)
work = channel.queue('work', durable: true, arguments: { 'x-dead-letter-exchange' => 'graves' })
work.bind(jobs, routing_key: 'job.*')

10.times { |number| jobs.publish(number.to_s, routing_key: "job.#{number}", persistent: true) }
said[:confirmed] = channel.wait_for_confirms && channel.next_publish_seq_no - 1

inbox = Inbox.new
consumer = work.subscribe(manual_ack: true) { |*message| inbox.put(*message) }
held = Array.new(3) { inbox.take }
said[:waiting] = work.message_count
channel.nack(held[0][0].delivery_tag, false, true)
again, _, body = inbox.take
said[:redelivered] = [body, again.redelivered]
channel.ack(again.delivery_tag, true)
rest = Array.new(7) { inbox.take.tap { |delivery, _, text| channel.ack(delivery.delivery_tag) if text != '9' } }
channel.reject(rest.last[0].delivery_tag, false)
said[:consumed] = (held + rest).map(&:last)
consumer.cancel

grave = Inbox.new
buried.subscribe { |*message| grave.put(*message) }
_, properties, body = grave.take
death = properties.headers['x-death'][0]
said[:buried] = [body, death['reason'], death['queue'], death['count'], death['routing-keys']]

headers = {
  'int' => 1, 'large' => 2**40, 'double' => 1.5, 'text' => 'süß'.b, 'true' => true, 'null' => nil,
  'time' => Time.at(1_700_000_000), 'list' => [1, 'zwei', { 'no' => false }], 'table' => { 'in' => { 'deep' => -1 } }
}
echo = channel.queue('', exclusive: true)
echo.publish('typed', headers: headers, message_id: 'm-1', priority: 4, expiration: '60000', type: 'kind')
channel.wait_for_confirms
_, properties, = echo.pop
said[:headers] = properties.headers == headers
said[:properties] = [properties.message_id, properties.priority, properties.expiration, properties.type]

returned = Queue.new
jobs.on_return { |info, _, text| returned << [info.reply_code, info.reply_text, text] }
jobs.publish('lost', routing_key: 'nowhere', mandatory: true)
channel.wait_for_confirms
said[:returned] = Timeout.timeout(WAIT_SECONDS) { returned.pop }

serving = connection.create_channel
serving.queue('rpc', exclusive: true).subscribe do |_, request, text|
  reply = { routing_key: request.reply_to, correlation_id: request.correlation_id }
  serving.default_exchange.publish(text.upcase, **reply)
end
asking = connection.create_channel
answers = Inbox.new
asking.basic_consume('amq.rabbitmq.reply-to', '', true) { |*message| answers.put(*message) }
%w[a b c].each do |text|
  asking.default_exchange.publish(
    text, routing_key: 'rpc', reply_to: 'amq.rabbitmq.reply-to', correlation_id: "c-#{text}"
  )
end
said[:answers] = Array.new(3) { answers.take.then { |_, reply, text| [reply.correlation_id, text] } }

begin
  connection.create_channel.queue_declare('none', passive: true)
rescue Bunny::NotFound => e
  said[:missing] = [e.channel_close.reply_code, e.channel_close.reply_text]
end

# The gateway is replaced by one that knows nothing: all that was declared has to come back.
events = Inbox.new
watching = channel.queue('', exclusive: true).bind(jobs, routing_key: 'event.#')
watching.subscribe { |*message| events.put(*message) }
channel.default_exchange.publish('', routing_key: 'restart')
Timeout.timeout(WAIT_SECONDS) { recovered.pop }
jobs.publish('after', routing_key: 'event.new', mandatory: true)
said[:recovered] = events.take.last
connection.close
puts JSON.generate(said)
