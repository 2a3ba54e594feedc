# What a Ruby application does with the gem `stomp`, on the port and in the dialect given; prints
# `done` at the end.
require 'stomp'
require 'timeout'

port = Integer(ARGV[0])
dialect = ARGV[1]

def login(port, extra = {})
  Stomp::Client.new(
    hosts: [{ login: 'guest', passcode: 'guest', host: '127.0.0.1', port: port }],
    reliable: false,
    connect_headers: { 'accept-version' => '1.2', 'host' => '127.0.0.1', 'heart-beat' => '1000,1000' }.merge(extra)
  )
end

def same(expected, got, what)
  abort "#{what}: expected #{expected.inspect}, got #{got.inspect}" unless expected == got
  puts what
end

# Takes `count` things from a queue of this program's, in time.
def take(queue, count)
  Timeout.timeout(10) { Array.new(count) { queue.pop } }
end

Timeout.timeout(60) do
  client = login(port, 'client-id' => 'ruby-1')
  other = login(port, 'client-id' => 'ruby-2')
  q = "/queue/ruby.#{dialect}"

  # Work that is acknowledged, one by one, and comes again where it is not.
  got = Queue.new
  other.subscribe(q, id: 'w', ack: 'client-individual') { |message| got << message }
  receipts = Queue.new
  3.times { |n| client.publish(q, "job #{n}", 'persistent' => 'true', 'n' => n.to_s, 'kind' => "a:b") { |r| receipts << r } }
  same 3, take(receipts, 3).length, 'receipts'
  jobs = take(got, 3)
  same ['job 0', 'job 1', 'job 2'], jobs.map(&:body), 'jobs'
  same ["a:b", '1'], jobs[1].headers.values_at('kind', 'n'), 'headers'
  other.acknowledge(jobs[0])
  other.acknowledge(jobs[2])
  other.unsubscribe(q, id: 'w')
  other.close
  again = Queue.new
  client.subscribe(q, id: 'again') { |message| again << message }
  back = take(again, 1)[0]
  same ['job 1', 'true'], [back.body, back.headers['redelivered']], 'redelivered'

  # A transaction that is aborted sends nothing, one that is committed all of it.
  client.begin('tx1')
  client.publish(q, 'never', transaction: 'tx1')
  client.abort('tx1')
  client.begin('tx2')
  2.times { |n| client.publish(q, "tx #{n}", transaction: 'tx2') }
  client.commit('tx2')
  same ['tx 0', 'tx 1'], take(again, 2).map(&:body), 'transaction'

  # Requests and their answers.
  server = login(port, 'client-id' => 'ruby-3')
  server.subscribe("#{q}.rpc", id: 's') do |request|
    server.publish(request.headers['reply-to'], request.body.upcase, 'correlation-id' => request.headers['correlation-id'])
  end
  answers = Queue.new
  if dialect == 'activemq'
    client.subscribe('/temp-queue/answers', id: 'answers') { |message| answers << message }
  else
    # RabbitMQ's are read without a SUBSCRIBE; the gem wants a callback for each subscription.
    client.instance_variable_get(:@listeners)['/temp-queue/answers'] = ->(message) { answers << message }
  end
  client.publish("#{q}.rpc", 'hello', 'reply-to' => '/temp-queue/answers', 'correlation-id' => 'c1')
  answer = take(answers, 1)[0]
  same ['HELLO', 'c1'], [answer.body, answer.headers['correlation-id']], 'rpc'

  # Bodies are bytes.
  bytes = (0..255).map(&:chr).join.b
  client.publish(q, bytes, 'content-type' => 'application/octet-stream')
  same bytes, take(again, 1)[0].body.b, 'bytes'

  # Topics, by pattern.
  news = Queue.new
  pattern = dialect == 'activemq' ? '/topic/news.>' : '/topic/news.#'
  client.subscribe(pattern, id: 'news', selector: "colour = 'red'") { |message| news << message }
  client.publish('/topic/news.a.b', 'blue', 'colour' => 'blue')
  client.publish('/topic/news.a.b', 'red', 'colour' => 'red')
  red = take(news, 1)[0]
  same ['red', '/topic/news.a.b'], [red.body, red.headers['destination']], 'selector'

  [client, server].each(&:close)
end
puts 'done'
