package alluvium.streams;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.cfg.CoercionAction;
import com.fasterxml.jackson.databind.cfg.CoercionInputShape;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.type.LogicalType;
import java.io.IOException;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/** JSON with Jackson: bound to classes, and strict where it would otherwise convert. */
final class Json {
    private static final ObjectMapper MAPPER = JsonMapper.builder()
        .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
        .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
        .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
        .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
        .withCoercionConfig(LogicalType.Textual, config -> config
            .setCoercion(CoercionInputShape.Integer, CoercionAction.Fail)
            .setCoercion(CoercionInputShape.Float, CoercionAction.Fail)
            .setCoercion(CoercionInputShape.Boolean, CoercionAction.Fail))
        .build();
    private static final ObjectReader COMMANDS = MAPPER.readerFor(Command.class);
    private static final ObjectReader USERS = MAPPER.readerFor(User.class);
    private static final ObjectWriter WRITER = MAPPER.writer();

    private Json() {
    }

    static Command command(byte[] value) throws BadCommand {
        try {
            Command command = value == null ? null : COMMANDS.readValue(value);
            if (command == null) {
                throw new BadCommand("not-json", "there is no value");
            }
            if (command.type == null) {
                throw new BadCommand("no-type", "there is no member type");
            }
            return command;
        } catch (JsonProcessingException e) {
            throw new BadCommand("not-json", e.getOriginalMessage());
        } catch (IOException e) {
            throw new BadCommand("not-json", e.getMessage());
        }
    }

    static byte[] bytes(Object value) {
        try {
            return WRITER.writeValueAsBytes(value);
        } catch (JsonProcessingException e) {
            throw new SerializationException(e);
        }
    }

    static Serde<User> userSerde() {
        Serializer<User> serializer = (topic, user) -> user == null ? null : bytes(user);
        Deserializer<User> deserializer = (topic, bytes) -> bytes == null ? null : user(bytes);
        return Serdes.serdeFrom(serializer, deserializer);
    }

    private static User user(byte[] bytes) {
        try {
            return USERS.readValue(bytes);
        } catch (IOException e) {
            throw new SerializationException(e);
        }
    }
}
