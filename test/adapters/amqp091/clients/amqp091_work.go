// The work of ../client-work.test.ts with amqp091-go. Argument: the port. Prints what came of it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const wait = 20 * time.Second

var said = map[string]any{}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func take[T any](from <-chan T) T {
	select {
	case value, ok := <-from:
		if !ok {
			panic("closed while waiting")
		}
		return value
	case <-time.After(wait):
		panic("nothing came")
	}
}

func open(connection *amqp.Connection) *amqp.Channel {
	channel, err := connection.Channel()
	must(err)
	return channel
}

func declare(channel *amqp.Channel, name string, exclusive bool, arguments amqp.Table) string {
	queue, err := channel.QueueDeclare(name, !exclusive, false, exclusive, false, arguments)
	must(err)
	return queue.Name
}

func consume(channel *amqp.Channel, queue, tag string, noAck bool) <-chan amqp.Delivery {
	messages, err := channel.Consume(queue, tag, noAck, false, false, false, nil)
	must(err)
	return messages
}

func declareAll(channel *amqp.Channel) {
	must(channel.ExchangeDeclare("jobs", "topic", true, false, false, false, nil))
	must(channel.ExchangeDeclare("graves", "fanout", true, false, false, false, nil))
	declare(channel, "buried", false, nil)
	must(channel.QueueBind("buried", "", "graves", false, nil))
	declare(channel, "work", false, amqp.Table{"x-dead-letter-exchange": "graves"})
	must(channel.QueueBind("work", "job.*", "jobs", false, nil))
}

func publish(channel *amqp.Channel, exchange, key string, message amqp.Publishing) *amqp.DeferredConfirmation {
	confirmation, err := channel.PublishWithDeferredConfirm(exchange, key, true, false, message)
	must(err)
	return confirmation
}

func deliver(channel *amqp.Channel) {
	declareAll(channel)
	var confirms []*amqp.DeferredConfirmation
	for number := 0; number < 10; number++ {
		message := amqp.Publishing{Body: []byte(fmt.Sprint(number)), DeliveryMode: amqp.Persistent}
		confirms = append(confirms, publish(channel, "jobs", fmt.Sprint("job.", number), message))
	}
	confirmed := 0
	for _, confirm := range confirms {
		if confirm.Wait() {
			confirmed++
		}
	}
	said["confirmed"] = confirmed

	must(channel.Qos(3, 0, false))
	messages := consume(channel, "work", "worker", false)
	held := []amqp.Delivery{take(messages), take(messages), take(messages)}
	queue, err := channel.QueueInspect("work")
	must(err)
	said["waiting"] = queue.Messages
	must(held[0].Nack(false, true))
	again := take(messages)
	said["redelivered"] = []any{string(again.Body), again.Redelivered}
	must(again.Ack(true))
	for number := 3; number < 10; number++ {
		message := take(messages)
		held = append(held, message)
		if string(message.Body) == "9" {
			must(message.Reject(false))
		} else {
			must(message.Ack(false))
		}
	}
	var consumed []string
	for _, message := range held {
		consumed = append(consumed, string(message.Body))
	}
	said["consumed"] = consumed
	must(channel.Cancel("worker", false))

	dead := take(consume(channel, "buried", "", true))
	death := dead.Headers["x-death"].([]any)[0].(amqp.Table)
	keys := death["routing-keys"]
	said["buried"] = []any{string(dead.Body), death["reason"], death["queue"], death["count"], keys}
}

func describe(channel *amqp.Channel) {
	headers := amqp.Table{
		"int": int32(1), "large": int64(1) << 40, "double": 1.5, "text": "süß", "true": true, "null": nil,
		"short": int16(-2), "octet": byte(200), "float": float32(0.25), "bytes": []byte{0, 255},
		"decimal": amqp.Decimal{Scale: 2, Value: 314}, "time": time.Unix(1700000000, 0),
		"list":  []any{int32(1), "zwei", []any{false}},
		"table": amqp.Table{"in": amqp.Table{"deep": int32(-1)}},
	}
	echo := declare(channel, "", true, nil)
	publish(channel, "", echo, amqp.Publishing{
		Headers: headers, MessageId: "m-1", Priority: 4, Expiration: "60000", Type: "kind", Body: []byte("typed"),
	}).Wait()
	got, ok, err := channel.Get(echo, true)
	must(err)
	said["headers"] = ok && reflect.DeepEqual(got.Headers, headers)
	said["properties"] = []any{got.MessageId, got.Priority, got.Expiration, got.Type}

	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	publish(channel, "", "nowhere", amqp.Publishing{Body: []byte("lost")}).Wait()
	back := take(returns)
	said["returned"] = []any{back.ReplyCode, back.ReplyText, string(back.Body)}
}

func call(connection *amqp.Connection) {
	serving, asking := open(connection), open(connection)
	requests := consume(serving, declare(serving, "rpc", true, nil), "", true)
	go func() {
		for request := range requests {
			body := []byte(strings.ToUpper(string(request.Body)))
			answer := amqp.Publishing{CorrelationId: request.CorrelationId, Body: body}
			must(serving.Publish("", request.ReplyTo, false, false, answer))
		}
	}()
	const reply = "amq.rabbitmq.reply-to"
	replies := consume(asking, reply, "", true)
	var answers [][]string
	for _, text := range []string{"a", "b", "c"} {
		request := amqp.Publishing{ReplyTo: reply, CorrelationId: "c-" + text, Body: []byte(text)}
		must(asking.Publish("", "rpc", false, false, request))
		answer := take(replies)
		answers = append(answers, []string{answer.CorrelationId, string(answer.Body)})
	}
	said["answers"] = answers
	_, err := open(connection).QueueDeclarePassive("none", true, false, false, false, nil)
	var missing *amqp.Error
	if errors.As(err, &missing) {
		said["missing"] = []any{missing.Code, missing.Reason}
	}
}

// The gateway is replaced by one that knows nothing: the program connects and declares again.
func recover(url string, connection *amqp.Connection, channel *amqp.Channel) {
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	must(channel.Publish("", "restart", false, false, amqp.Publishing{}))
	said["closed"] = take(closed).Code
	var err error
	for deadline := time.Now().Add(wait); ; time.Sleep(50 * time.Millisecond) {
		if connection, err = amqp.Dial(url); err == nil {
			break
		}
		if time.Now().After(deadline) {
			panic(err)
		}
	}
	channel = open(connection)
	declareAll(channel)
	watching := declare(channel, "", true, nil)
	must(channel.QueueBind(watching, "event.#", "jobs", false, nil))
	messages := consume(channel, watching, "", true)
	must(channel.Publish("jobs", "event.new", false, false, amqp.Publishing{Body: []byte("after")}))
	said["recovered"] = string(take(messages).Body)
	must(connection.Close())
}

func main() {
	url := fmt.Sprintf("amqp://guest:guest@127.0.0.1:%s/", os.Args[1])
	connection, err := amqp.Dial(url)
	must(err)
	channel := open(connection)
	must(channel.Confirm(false))
	deliver(channel)
	describe(channel)
	call(connection)
	recover(url, connection, channel)
	printed, err := json.Marshal(said)
	must(err)
	fmt.Println(string(printed))
}
