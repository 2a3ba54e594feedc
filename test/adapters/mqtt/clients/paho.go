// What MQTT 3.1.1 is used for at work, played by paho's Go client as Debian ships it.
//
//	paho SCENARIO ADDRESS     prints what it saw as JSON
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const patience = 30 * time.Second

// client is connected; what it receives is in inbox.
type client struct {
	mqtt.Client
	inbox chan mqtt.Message
}

func must(token mqtt.Token) {
	if !token.WaitTimeout(patience) {
		panic("no answer")
	}
	if token.Error() != nil {
		panic(token.Error())
	}
}

func options(name string) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().
		AddBroker("tcp://" + os.Args[2]).
		SetClientID("go-" + name).
		SetUsername("alice").
		SetPassword("secret").
		SetMaxReconnectInterval(50 * time.Millisecond).
		SetStore(mqtt.NewMemoryStore())
}

func connect(made *mqtt.ClientOptions) *client {
	inbox := make(chan mqtt.Message, 1000)
	made.SetDefaultPublishHandler(func(_ mqtt.Client, message mqtt.Message) { inbox <- message })
	connected := &client{mqtt.NewClient(made), inbox}
	must(connected.Connect())
	return connected
}

func (c *client) next() mqtt.Message {
	select {
	case message := <-c.inbox:
		return message
	case <-time.After(patience):
		panic("no message")
	}
}

// discovery: devices announce themselves, and a hub that comes later finds them.
func discovery() interface{} {
	for _, name := range []string{"kitchen", "garage"} {
		will := "go/" + name + "/availability"
		device := connect(options(name).SetWill(will, "offline", 1, true))
		must(device.Publish("go-ha/sensor/"+name+"/config", 1, true, "{\"name\":\""+name+"\"}"))
		must(device.Publish(will, 1, true, "online"))
	}
	hub := connect(options("hub"))
	must(hub.SubscribeMultiple(map[string]byte{"go-ha/+/+/config": 1, "go/+/availability": 1}, nil))
	known := map[string]string{}
	for len(known) < 4 {
		message := hub.next()
		if !message.Retained() {
			panic("not retained: " + message.Topic())
		}
		known[message.Topic()] = string(message.Payload())
	}
	return known
}

// workers: a group shares jobs, each of which is done once.
func workers() interface{} {
	done := map[string]int{}
	busy := map[int]bool{}
	var lock sync.Mutex
	var all sync.WaitGroup
	all.Add(30)
	for i := 0; i < 3; i++ {
		member := i
		worker := connect(options("worker-" + strconv.Itoa(i)))
		work := func(_ mqtt.Client, message mqtt.Message) {
			lock.Lock()
			defer lock.Unlock()
			done[string(message.Payload())]++
			busy[member] = true
			all.Done()
		}
		// This version of paho compares topics with the filter as it was given.
		worker.AddRoute("go/jobs", work)
		must(worker.Subscribe("$share/crew/go/jobs", 1, nil))
	}
	boss := connect(options("boss"))
	for i := 0; i < 30; i++ {
		must(boss.Publish("go/jobs", 1, false, strconv.Itoa(i)))
	}
	all.Wait()
	return map[string]int{"jobs": len(done), "workers": len(busy)}
}

// once: numbers to itself with QoS 2.
func once() interface{} {
	self := connect(options("once").SetCleanSession(false))
	must(self.Subscribe("go/once", 2, nil))
	count := 40
	for i := 0; i < count; i++ {
		must(self.Publish("go/once", 2, false, strconv.Itoa(i)))
	}
	seen := map[string]int{}
	for len(seen) < count {
		seen[string(self.next().Payload())]++
	}
	return map[string]int{"different": len(seen), "more": len(self.inbox)}
}

func main() {
	scenarios := map[string]func() interface{}{"discovery": discovery, "workers": workers, "once": once}
	answer, err := json.Marshal(scenarios[os.Args[1]]())
	if err != nil {
		panic(err)
	}
	fmt.Println(string(answer))
}
