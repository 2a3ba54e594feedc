// The work of ../client-work.test.ts with RabbitMQ's Java client. Argument: the port. Prints what came of it.

import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.AMQP.Queue.DeclareOk;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public class RabbitJavaWork {
  static final int WAIT_SECONDS = 20;
  static final List<String> said = new ArrayList<>();

  record Message(Envelope envelope, BasicProperties properties, String body) {}

  static void say(String name, Object value) {
    said.add(json(name) + ":" + json(value));
  }

  static String json(Object value) {
    if (value instanceof Object[] several) {
      List<String> parts = new ArrayList<>();
      for (Object one : several) parts.add(json(one));
      return "[" + String.join(",", parts) + "]";
    }
    if (value instanceof List<?> list) return json(list.toArray());
    if (value instanceof Number || value instanceof Boolean) return value.toString();
    return "\"" + value.toString().replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static <T> T take(BlockingQueue<T> from) throws InterruptedException {
    T value = from.poll(WAIT_SECONDS, TimeUnit.SECONDS);
    if (value == null) throw new IllegalStateException("nothing came");
    return value;
  }

  static BlockingQueue<Message> consume(Channel channel, String queue, String tag, boolean noAck)
      throws IOException {
    BlockingQueue<Message> inbox = new LinkedBlockingQueue<>();
    channel.basicConsume(queue, noAck, tag, new DefaultConsumer(channel) {
      @Override
      public void handleDelivery(String tag, Envelope envelope, BasicProperties properties, byte[] body) {
        inbox.add(new Message(envelope, properties, new String(body, StandardCharsets.UTF_8)));
      }
    });
    return inbox;
  }

  static void deliver(Channel channel) throws Exception {
    channel.exchangeDeclare("graves", "fanout", true);
    channel.queueDeclare("buried", true, false, false, null);
    channel.queueBind("buried", "graves", "");
    channel.queueDeclare("work", true, false, false, Map.of("x-dead-letter-exchange", "graves"));
    channel.queueBind("work", "jobs", "job.*");
    for (int number = 0; number < 10; number++) {
      channel.basicPublish("jobs", "job." + number, MessageProperties.PERSISTENT_BASIC, bytes("" + number));
    }
    channel.waitForConfirmsOrDie(WAIT_SECONDS * 1000);
    say("confirmed", channel.getNextPublishSeqNo() - 1);

    channel.basicQos(3);
    BlockingQueue<Message> inbox = consume(channel, "work", "worker", false);
    List<Message> held = new ArrayList<>(List.of(take(inbox), take(inbox), take(inbox)));
    say("waiting", channel.messageCount("work"));
    channel.basicNack(held.get(0).envelope.getDeliveryTag(), false, true);
    Message again = take(inbox);
    say("redelivered", new Object[] {again.body, again.envelope.isRedeliver()});
    channel.basicAck(again.envelope.getDeliveryTag(), true);
    for (int number = 3; number < 10; number++) {
      Message message = take(inbox);
      held.add(message);
      long tag = message.envelope.getDeliveryTag();
      if (message.body.equals("9")) channel.basicReject(tag, false);
      else channel.basicAck(tag, false);
    }
    say("consumed", held.stream().map(Message::body).toArray());
    channel.basicCancel("worker");

    Message dead = take(consume(channel, "buried", "", true));
    Map<?, ?> death = (Map<?, ?>) ((List<?>) dead.properties.getHeaders().get("x-death")).get(0);
    say("buried", new Object[] {
      dead.body, death.get("reason"), death.get("queue"), death.get("count"), death.get("routing-keys")
    });
  }

  /** The values that a Java program would read, with texts as texts. */
  static Object plain(Object value) {
    if (value instanceof LongString) return value.toString();
    if (value instanceof byte[] bytes) return new String(bytes, StandardCharsets.ISO_8859_1);
    if (value instanceof List<?> list) return list.stream().map(RabbitJavaWork::plain).toList();
    if (!(value instanceof Map<?, ?> table)) return value;
    Map<Object, Object> sorted = new TreeMap<>();
    table.forEach((name, inner) -> sorted.put(name, plain(inner)));
    return sorted;
  }

  static void describe(Channel channel) throws Exception {
    Map<String, Object> headers = new TreeMap<>();
    headers.put("int", 1);
    headers.put("large", 1L << 40);
    headers.put("double", 1.5);
    headers.put("text", "süß");
    headers.put("true", true);
    headers.put("null", null);
    headers.put("short", (short) -2);
    headers.put("octet", (byte) -3);
    headers.put("float", 0.25f);
    headers.put("bytes", new byte[] {0, -1});
    headers.put("decimal", new BigDecimal("3.14"));
    headers.put("time", new Date(1_700_000_000_000L));
    headers.put("list", List.of(1, "zwei", List.of(false)));
    headers.put("table", Map.of("in", Map.of("deep", -1)));
    String echo = channel.queueDeclare().getQueue();
    BasicProperties properties = new BasicProperties.Builder()
        .headers(headers).messageId("m-1").priority(4).expiration("60000").type("kind").build();
    channel.basicPublish("", echo, properties, bytes("typed"));
    channel.waitForConfirmsOrDie(WAIT_SECONDS * 1000);
    GetResponse got = channel.basicGet(echo, true);
    BasicProperties back = got.getProps();
    say("headers", plain(back.getHeaders()).equals(plain(headers)));
    say("properties", new Object[] {
      back.getMessageId(), back.getPriority(), back.getExpiration(), back.getType()
    });

    BlockingQueue<Object[]> returned = new LinkedBlockingQueue<>();
    channel.addReturnListener(back2 -> returned.add(
        new Object[] {back2.getReplyCode(), back2.getReplyText(), new String(back2.getBody())}));
    channel.basicPublish("", "nowhere", true, null, bytes("lost"));
    channel.waitForConfirmsOrDie(WAIT_SECONDS * 1000);
    say("returned", take(returned));
  }

  static void call(Connection connection) throws Exception {
    Channel serving = connection.createChannel();
    serving.queueDeclare("rpc", false, true, false, null);
    serving.basicConsume("rpc", true, (tag, request) -> {
      String answer = new String(request.getBody(), StandardCharsets.UTF_8).toUpperCase();
      String correlation = request.getProperties().getCorrelationId();
      BasicProperties properties = new BasicProperties.Builder().correlationId(correlation).build();
      serving.basicPublish("", request.getProperties().getReplyTo(), properties, bytes(answer));
    }, tag -> {});
    Channel asking = connection.createChannel();
    BlockingQueue<Message> replies = consume(asking, "amq.rabbitmq.reply-to", "", true);
    List<Object> answers = new ArrayList<>();
    for (String text : List.of("a", "b", "c")) {
      BasicProperties properties = new BasicProperties.Builder()
          .replyTo("amq.rabbitmq.reply-to").correlationId("c-" + text).build();
      asking.basicPublish("", "rpc", properties, bytes(text));
      Message answer = take(replies);
      answers.add(new Object[] {answer.properties.getCorrelationId(), answer.body});
    }
    say("answers", answers);
    try {
      connection.createChannel().queueDeclarePassive("none");
    } catch (IOException error) {
      ShutdownSignalException closed = (ShutdownSignalException) error.getCause();
      var reason = (com.rabbitmq.client.AMQP.Channel.Close) closed.getReason();
      say("missing", new Object[] {reason.getReplyCode(), reason.getReplyText()});
    }
  }

  /** The gateway is replaced by one that knows nothing: all that was declared has to come back. */
  static void recover(Connection connection, Channel channel) throws Exception {
    BlockingQueue<Boolean> recovered = new LinkedBlockingQueue<>();
    ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
      @Override
      public void handleRecovery(Recoverable again) {
        recovered.add(true);
      }

      @Override
      public void handleRecoveryStarted(Recoverable again) {}
    });
    DeclareOk watching = channel.queueDeclare();
    channel.queueBind(watching.getQueue(), "jobs", "event.#");
    BlockingQueue<Message> events = consume(channel, watching.getQueue(), "", true);
    channel.basicPublish("", "restart", null, new byte[0]);
    take(recovered);
    channel.basicPublish("jobs", "event.new", null, bytes("after"));
    say("recovered", take(events).body);
  }

  public static void main(String[] arguments) throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setHost("127.0.0.1");
    factory.setPort(Integer.parseInt(arguments[0]));
    factory.setNetworkRecoveryInterval(100);
    Connection connection = factory.newConnection();
    Channel channel = connection.createChannel();
    channel.confirmSelect();
    channel.exchangeDeclare("jobs", "topic", true);
    deliver(channel);
    describe(channel);
    call(connection);
    recover(connection, channel);
    connection.close();
    System.out.println("{" + String.join(",", said) + "}");
  }
}
